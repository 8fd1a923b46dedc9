"""What a finding says to its person: one template for each grade, in the person's language.

A correlation is never worded as a cause: `FORBIDDEN` lists the words, for each language, that no
text below a completed trial may hold, and a test reads every template for them.
"""

FORBIDDEN: dict[str, tuple[str, ...]] = {
    "en": (
        "because", "cause", "caused", "causes", "causing", "reduce", "reduces", "reduced",
        "improve", "improves", "improved", "work", "works", "worked", "effect of", "treat",
        "treats", "treated", "treatment", "relieve", "relieves", "relieved", "relief", "help",
        "helps", "helped", "due to", "thanks to", "leads to", "led to",
    ),
    "de": (
        "weil", "denn", "verursacht", "verursachen", "bewirkt", "bewirken", "verringert",
        "verringern", "verbessert", "verbessern", "wirkt", "wirken", "wirksam", "Wirkung von",
        "behandelt", "behandeln", "Behandlung", "lindert", "lindern", "Linderung", "hilft",
        "helfen", "geholfen", "dank", "führt zu", "aufgrund", "senkt", "senken",
    ),
}  # fmt: skip

# The one sentence that may name a cause: it denies one. Every observed finding ends with it.
DISCLAIMER = "This does not show that stimulation caused it."

# What was seen, by the days between; `SEEN_OVER` follows.
OBSERVED = {
    1: "On days with more {exposure}, {outcome} was {size} points {direction} the next morning "
    "({low} to {high}).",
    0: "On days with more {exposure}, {outcome} was {size} points {direction} later that day "
    "({low} to {high}). The two happened together.",
    2: "Two days after days with more {exposure}, {outcome} was {size} points {direction} ({low} "
    "to {high}).",
    3: "Three days after days with more {exposure}, {outcome} was {size} points {direction} ({low} "
    "to {high}).",
}
BOTH_TIMES = (
    "On days with more {exposure}, {outcome} was {size} points {direction} ({low} to {high}). "
    "This takes that evening and the next morning as one."
)
# Of what was there or not
OBSERVED_DAYS = {
    1: "On days with more {exposure}, {outcome} was there the next morning on {size} {direction} "
    "days in 100 ({low} to {high}).",
    0: "On days with more {exposure}, {outcome} was there later that day on {size} {direction} "
    "days in 100 ({low} to {high}). The two happened together.",
    2: "Two days after days with more {exposure}, {outcome} was there on {size} {direction} days "
    "in 100 ({low} to {high}).",
    3: "Three days after days with more {exposure}, {outcome} was there on {size} {direction} days "
    "in 100 ({low} to {high}).",
}
SEEN_OVER = (
    "This is an average over {n} days. It takes your rating before the session, the trend and the "
    "weekday into account."
)
EARLY = "This is an early sign and may well be chance."
MORE_IS_WORSE = "People often stimulate more when they feel worse. That alone would look like this."
HALVES = "The first and the second half of these days do not agree, so this is not sure."
ONE_OF_MANY = "Many questions are asked at once. This one does not stand out enough yet."
FOLLOWS_PAIN = (
    "Your use follows your pain: how much you stimulate goes with how much it hurt before. These "
    "days cannot tell which of the two came first. Only a trial of your own can."
)
FOLLOWS_RATING = (
    "Your use follows how you feel: how much you stimulate goes with how you felt before. These "
    "days cannot tell which of the two came first. Only a trial of your own can."
)
MORE_SIDE_EFFECT = "Please talk to a clinician about it if it troubles you."
NO_CLEAR_LINK = (
    "Over {n} days there is no clear link between {exposure} and {outcome}. Any difference is "
    "likely less than {mid} points."
)
# The same where the interval leaves 0 out: to call that no link would be untrue.
SMALL_LINK = (
    "{exposure_title} and {outcome} go together only a little. This is from {n} days. Any gap is "
    "likely less than {mid} points."
)
SMALL_LINK_DAYS = (
    "{exposure_title} and {outcome} go together only a little. This is from {n} days. Any gap is "
    "likely less than {mid} days in 100."
)
NO_CLEAR_LINK_DAYS = (
    "Over {n} days there is no clear link between {exposure} and {outcome}. Any difference is "
    "likely less than {mid} days in 100."
)
NOT_ENOUGH = (
    "There are {n} days so far. They cannot tell whether {exposure} and {outcome} go together."
)
NOT_ENOUGH_REFUSED = (
    "{exposure_title} changed too little to be compared with {outcome}, or went too much in step "
    "with time."
)
COLLECTING = (
    "You have {n} of {first} full days so far. For a full day the device has sent all of it, and "
    "you rate before the session and the next morning."
)
MORE_DAYS = "About {low_days} to {high_days} more days may be needed."
TESTED = (
    "Your own trial had {pairs} pairs of blocks. In blocks with the full programme, {outcome} was "
    "{size} points {direction} on average ({low} to {high}; p = {p})."
)
NO_DIFFERENCE = (
    "Your own trial of {pairs} pairs of blocks found no clear difference in {outcome}. With the "
    "full programme it may be up to {down} points lower or up to {up} points higher."
)
DEPARTED = "{departed} of {blocks} blocks were not as drawn."
NOT_CARRIED_OUT = (
    "The trial did not go as planned: {delivered} of {blocks} blocks were as drawn. At least "
    "{least} are needed to tell a difference."
)
STOPPED_EARLY = (
    "The trial was stopped after {pairs} of {planned} pairs of blocks. So this is not the test "
    "that was planned, and it is less certain."
)
NOT_TESTED = "Too few pairs of blocks have ratings under both programmes to tell a difference."
HELD_OFF = "Your device is still set as in the trial: it gives no current."
HELD_DOWN = "Your device is still set as in the trial: it gives up to {now} mA."
SET_BACK = "Before the trial it gave up to {before} mA. You can set it back, or leave it as it is."
SENT_TO_DEVICE = (
    "Your new settings were sent to the device. It has not taken them yet. Until then it stays as "
    "it was."
)
FADING = (
    "{effect_title} was noted less often with each session. It went from {first_share} of early "
    "sessions to {last_share} of recent ones, over {n} answers."
)
STEADY = (
    "{effect_title} was noted about as often in recent sessions as in early ones. This rests on "
    "{n} answers."
)
GROWING = (
    "{effect_title} was noted more often in recent sessions than in early ones ({n} answers). "
    "Please talk to a clinician about it."
)
SIDE_EFFECT_NOT_ENOUGH = (
    "There are not enough answers yet about {effect}: {n} of {first}. At least 3 must be yes and 3 "
    "no."
)
SIDE_EFFECT_UNCLEAR = (
    "The {n} answers so far cannot tell whether {effect} is noted more or less often than at first."
)
RESPONSE_CONFIRMED = (
    "In the four weeks up to {until}, {outcome} is {share} lower than in your first weeks ({low} "
    "to {high})."
)
RESPONSE_LIKELY = (
    "In the four weeks up to {until}, {outcome} looks about {share} lower than in your first weeks "
    "({low} to {high}). This is less certain."
)
RESPONSE_NONE = (
    "In the four weeks up to {until}, {outcome} has not clearly changed from your first weeks "
    "({low} to {high})."
)
RESPONSE_HIGHER = (
    "In the four weeks up to {until}, {outcome} is {share} higher than in your first weeks ({low} "
    "to {high})."
)
# Of a scale where higher is better, as mood or sleep
RESPONSE_POINTS = (
    "In the four weeks up to {until}, {outcome} is {size} points {direction} than in your first "
    "weeks ({low} to {high})."
)
RESPONSE_POINTS_NONE = (
    "In the four weeks up to {until}, {outcome} has not clearly changed from your first weeks "
    "({low} to {high} points)."
)
RESPONSE_NOT_ENOUGH = (
    "To compare with your first weeks, ratings are needed on at least 14 days of your first four "
    "weeks. The four weeks that are compared need 14 as well. This is done anew every four weeks."
)
PROGRAMME_USE = (
    "Use of {frequency_hz} pulses a second ({pulse_width_us} µs each, {on_s} s on, {off_s} s off)"
)
LEVEL_USE = "Strength set on “{model}”"
LOWER, HIGHER = "lower", "higher"
MORE, FEWER = "more", "fewer"

TEMPLATES: tuple[str, ...] = (
    *OBSERVED.values(), BOTH_TIMES, *OBSERVED_DAYS.values(), SEEN_OVER,
    DISCLAIMER, EARLY, HALVES, ONE_OF_MANY, FOLLOWS_PAIN, FOLLOWS_RATING, MORE_IS_WORSE,
    MORE_SIDE_EFFECT, NO_CLEAR_LINK, NO_CLEAR_LINK_DAYS, SMALL_LINK, SMALL_LINK_DAYS, NOT_ENOUGH,
    NOT_ENOUGH_REFUSED, COLLECTING, MORE_DAYS, TESTED, NO_DIFFERENCE, DEPARTED, NOT_CARRIED_OUT,
    STOPPED_EARLY, NOT_TESTED,
    HELD_OFF, HELD_DOWN, SET_BACK, SENT_TO_DEVICE,
    FADING, STEADY, GROWING, SIDE_EFFECT_NOT_ENOUGH, SIDE_EFFECT_UNCLEAR, RESPONSE_CONFIRMED,
    RESPONSE_LIKELY, RESPONSE_NONE, RESPONSE_HIGHER, RESPONSE_POINTS,
    RESPONSE_POINTS_NONE, RESPONSE_NOT_ENOUGH, LOWER, HIGHER,
    MORE, FEWER, PROGRAMME_USE, LEVEL_USE,
)  # fmt: skip
