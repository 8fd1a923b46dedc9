"""The words of the printed report. Figures and names are filled in; `document` sets them."""

TITLE = "Report for a clinician"
DAYS_OF = "{first_day} to {last_day} ({days} days)"
MADE = "Made on {day}. Days and times are those of {zone}."
NOTICE = (
    "This shows what devices recorded and what the person wrote down. Nobody has checked it. It is "
    "no medical record and no advice."
)
PAGE = "Page {page} of {pages}"
AND_MORE = "And {n} more, in the app."
NOTHING_NOTED = "Nothing was noted."
RANGE = "{mean} ({low} to {high})"
POINTS_RANGE = "{mean} points ({low} to {high})"
NOT_KNOWN_CELL = "not known"

USE = "Use"
SESSIONS = "Sessions"  # as the insights call them
MINUTES = "Minutes"
DAYS_USED = "Days with a session"
OF_KNOWN = "of {known} known days, {days} in all"
NOT_UPLOADED = "Days not known"
NOT_UPLOADED_NOTE = "not uploaded, or not said"
BY_HAND = "by hand: {n}"
DEVICE = "Device"
CURRENT_MA = "Current, mA"
LEVEL = "Level"
CHARGE_MC = "Charge, mC"
AS_PLANNED = "Ran to the end"
OTHERWISE = "Ended early"
BY_MODEL = "Currents and levels of two models cannot be compared."
WEEK_FROM, DAY_FROM, MONTH_FROM = "Week from", "Day", "Month from"
NO_SESSION = "none"
NO_SESSION_MARKS = (
    "“{none}”: there was no session. “{not_known}”: it is not uploaded, or nobody said so. "
    "Weeks and months are shown whole, so the first and the last may reach beyond these days."
)
PROGRAMME_NOW = "Programme now"
NO_PROGRAMME = "None was set."
PROGRAMME_WAITS = "The device has not taken it yet."

RATINGS = "Ratings"
SYMPTOM = "Symptom"
MEAN = "Mean"
RATED = "Ratings given"
AT_FIRST_COLUMN = "At first"
FOUR_WEEKS = "Last look"
CHANGE = "Change"
HOW_SURE = "What it says"
OVER_DAYS = "{mean} ({n} days)"
THEN_AND_NOW_NOTE = (
    "“{at_first}”: before the first session, or the first weeks. “{last_look}”: the four weeks up "
    "to the last look, which comes every four weeks."
)
RESPONSE_GRADES = {
    "confirmed": "clearly lower",
    "likely": "likely lower",
    "small": "a little lower",
    "no_clear_change": "no clear change",
    "worse": "worse",
    "better": "higher",
    "not_enough": "too few ratings",
}

SIDE_EFFECTS = "Side effects"
SIDE_EFFECT = "Side effect"
ANSWERS = "Answers"
BOTHERSOME = "Bothersome"
LAST_ON = "Last on"
NEVER = "never"
SEVERITIES = ("Mild", "Moderate", "Severe")  # as the diary asks for them
STRENGTH_NOTE = "How strong it was is the person's own word, no grade of a clinician."
RED_FLAGS = "Symptoms that lock the device"
NO_RED_FLAG = "None was reported in these days, and none stands."
RED_FLAG_STANDS = "{symptom}, on {day}. It still locks the device."
RED_FLAG_LIFTED = "{symptom}, on {day}. The person says that a clinician saw it: {note}."
CONDITIONS_TITLE = "Conditions, as the person noted them"
CONDITION_SINCE = "{condition}, noted since {day}"
CONDITION_GONE = "{condition}, no longer noted"
MEDICATION = "Medication"
OTHER_TREATMENT = "Other treatment"
NAME, DOSE, DAYS_NOTED, FIRST_ON, CHANGES = "Name", "Dose", "Days noted", "First on", "Change"
NEW_HERE = "new in these days"
NEW_DOSE = "new dose"

FINDINGS = "Links between use and symptoms"
FINDINGS_OVER = (
    "These rest on all days so far, not on the days of this report. They are shown in the words "
    "that the person reads."
)
NO_CONSENT = "The person has not agreed to having links looked for, so there are none here."
NO_FINDINGS = "There is nothing to show yet."
ASKED_FIRST = "Asked from the start"
ASKED_OF_ALL = "Found among many other questions"
PAIR_OF = "{exposure} and {outcome}"
LAGS = ("later that day", "the next morning", "two mornings later", "three mornings later")
FIGURES = "Difference: {effect} ({low} to {high}). Days: {n}."
NO_FIGURES = "Days so far: {n}."
GRADES = {
    "collecting": "Collecting days",
    "not_enough": "Too little is known",
    "no_clear_link": "No clear link",
    "early_signal": "Early sign",
    "moderate": "Moderate sign",
    "strong": "Strong sign",
    "tested": "Tested by a trial",
}
TRIALS = "Trials of the person's own"
NO_TRIAL = "There was none."
TRIAL_PLAN = "{pairs} pairs of blocks of {days} days, from {day}."
TRIAL_STATES = {
    "running": "It is under way. Its result is not known before its end.",
    "stopped": "It was stopped early.",
    "finished": "It ran to its end.",
}
TRIAL_FIGURES = "Full minus other days: {effect} ({low} to {high}), p = {p}. Pairs: {n}."

PROGRAMMES = "Devices and programmes"
NO_DEVICE = "The person has no device here now."
DEVICE_LINE = "{device}, serial number {serial}, since {day}"
FIRMWARE = "firmware {firmware}"
SET_ON = "Set on"
PROGRAMME = "Programme"
STATE = "State"
STATES = {
    "waiting": "on its way",
    "sent": "sent, no answer yet",
    "applied": "taken by the device",
    "refused": "refused by the device",
}
BY_LEVEL = "level {n}"
TITRATED = "current set by the person"
ON_OFF = "{on} s on, {off} s off"
LONG_MIN = "{n} min"
NO_CURRENT = "no current allowed"

DATA_GAPS = "What is missing"
GAPS_USE = "Days of which it is not known whether there was a session: {n} of {days}."
GAPS_RATINGS = "Days without any rating: {n} of {days}."
SPAN = "{first_day} to {last_day}"
UNSYNCED = {
    "waiting": "{device} holds sessions that are not uploaded yet.",
    "unknown": "{device} may hold sessions that are not uploaded yet.",
}
INCOMPLETE = (
    "Sessions with missing parts: {n}. With doubts: {doubtful}. With unsure times: {unsure}."
)
HOW_MADE = "How these figures were made"
METHODS = (
    "A session counts on the day that it began on, where the person was then.",
    "Minutes are those with current. If a device does not tell, they run from start to end.",
    "A day counts as one without a session only if all that its devices hold is here.",
    "Of devices that record nothing, the person must have said that there was no session.",
    "Current and level are means over the sessions of a device, with the lowest and the highest.",
    "A mean rating is that of all ratings. Days without one are left out and never guessed.",
    "Then and now: the range holds over all looks. A person may change for many reasons.",
    "Links are looked for at fixed numbers of days. Their range holds over all of these looks.",
    "Days noted are days on which the diary names a medicine, and not each dose that was taken.",
    "Notes that the person wrote are not in this report.",
)
METHOD_OF_LINKS = 7  # of `METHODS`: the one about links
METHOD_OF = "Method {version}, made on {day}."

TEXTS: tuple[str, ...] = (
    TITLE, DAYS_OF, MADE, NOTICE, PAGE, AND_MORE, NOTHING_NOTED, RANGE, POINTS_RANGE,
    NOT_KNOWN_CELL, USE, MINUTES, DAYS_USED, OF_KNOWN, NOT_UPLOADED, NOT_UPLOADED_NOTE, BY_HAND,
    DEVICE, CURRENT_MA, LEVEL, CHARGE_MC, AS_PLANNED, OTHERWISE, BY_MODEL, WEEK_FROM, DAY_FROM,
    MONTH_FROM, NO_SESSION, NO_SESSION_MARKS, PROGRAMME_NOW, NO_PROGRAMME, PROGRAMME_WAITS,
    RATINGS, SYMPTOM, MEAN, RATED, AT_FIRST_COLUMN, FOUR_WEEKS, CHANGE, HOW_SURE, OVER_DAYS,
    THEN_AND_NOW_NOTE, *RESPONSE_GRADES.values(), SIDE_EFFECTS, SIDE_EFFECT, ANSWERS,
    BOTHERSOME, LAST_ON, NEVER, STRENGTH_NOTE, RED_FLAGS, NO_RED_FLAG, RED_FLAG_STANDS,
    RED_FLAG_LIFTED, CONDITIONS_TITLE, CONDITION_SINCE, CONDITION_GONE, MEDICATION,
    OTHER_TREATMENT, NAME, DOSE, DAYS_NOTED, FIRST_ON, CHANGES, NEW_HERE, NEW_DOSE, FINDINGS,
    FINDINGS_OVER, NO_CONSENT, NO_FINDINGS, ASKED_FIRST, ASKED_OF_ALL, PAIR_OF, *LAGS, FIGURES,
    NO_FIGURES, *GRADES.values(), TRIALS, NO_TRIAL, TRIAL_PLAN, *TRIAL_STATES.values(),
    TRIAL_FIGURES, PROGRAMMES, NO_DEVICE, DEVICE_LINE, FIRMWARE, SET_ON, PROGRAMME, STATE,
    *STATES.values(), BY_LEVEL, TITRATED, ON_OFF, LONG_MIN, NO_CURRENT, DATA_GAPS, GAPS_USE,
    GAPS_RATINGS, SPAN, *UNSYNCED.values(), INCOMPLETE, HOW_MADE, *METHODS, METHOD_OF,
)  # fmt: skip
