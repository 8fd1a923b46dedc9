"""The words on and about pictures; the test that reads `words` for forbidden ones reads these."""

YOUR_DAYS = "Your days"
NOT_KNOWN = "×: not known, as the device has not sent that day yet"
NEXT_MORNING = "{outcome}, in the morning"
SAME_DAY = "{outcome}, later that day"
FIT = "Each day, with all else taken out"
FIT_X = "{exposure}, more (+) or less (−) than expected"
FIT_Y = "{outcome}, higher (+) or lower (−) than expected"
LAGS = "By the days between"
LAGS_Y = "Difference in points, on days with more {exposure}"
SMALLER_THAN_MATTERS = "Between the dashed lines: a difference below {mid}"
LAG_NAMES = ("Same day", "Next day", "2 days", "3 days")
SCALE_ENDS = "{best}: best, {worst}: worst"
NOT_YET = "not yet"
PAIR_TITLE = "{outcome} and {exposure}"
PAIR_ALT = "{sentence} Days shown: {days}. Dots: {outcome}. Bars: {exposure}."
PAIR_ALT_LAG = "{lag}: {effect} points ({low} to {high})."
SIDE_EFFECT_TITLE = "{effect}, from session to session"
SIDE_EFFECT_Y = "How often it was reported"
SIDE_EFFECT_X = "Session"
SIDE_EFFECT_DOTS = "Dots: each answer, yes above and no below"
SIDE_EFFECT_ALT = "{sentence} Sessions: {sessions}. Answers: {n}. Of these, it was there in {yes}."
SIDE_EFFECT_ALT_CURVE = (
    "The fitted share goes from {first} at the first session to {last} at session {sessions}."
)
SIDE_EFFECT_ALT_BAND = (
    "Its band is {first_low} to {first_high} at the first session and {last_low} to {last_high} at "
    "session {sessions}."
)
RESPONSE_TITLE = "{outcome}, then and now"
RESPONSE_ALT_MEANS = (
    "The mean was {before} at first, over {before_days} days, and {now} in the four weeks up to "
    "{until}, over {now_days} days."
)
AT_FIRST = "At first: {mean}"
LATELY = "Four weeks up to {until}: {mean}"
THIRTY_PERCENT = "Dashed line: 30 % lower than at first"
MEAN_OF_DAY = "{outcome}, mean of the day"
TIMELINE_TITLE = "{outcome} and your sessions"
CALENDAR_TITLE = "{outcome}, day by day"
CALENDAR_MARKS = (
    "Number: the mean of the day. The stronger the colour, the worse. Dot: a session, up to three."
)
HISTORY_DAYS = "Days shown: {days}. With a session: {used}."
HISTORY_RATED = "With a rating: {rated}. In the mean {outcome} was {mean}, from {low} to {high}."
HISTORY_UNRATED = "No rating was made on these days."
AROUND_TITLE = "{outcome}, before and after sessions"
AROUND_USED = "With a session: {before} before, {after} after (days: {n})."
AROUND_WITHOUT = "Without one, at your usual hours: {before} before, {after} after (days: {n})."
AROUND_WHY = "A bad hour often passes by itself, so look at both kinds of days."
BEFORE, AFTER = "before", "after"
RATINGS_TITLE = "Ratings and sessions, day by day"
RATINGS_ALT = "{outcome}: in the mean {mean}. Days with a rating: {n}."
RATINGS_ALT_BASELINE = "At first it was {mean}."
BASELINE_LINE = "Dashed line: the mean at first"

CAPTIONS: tuple[str, ...] = (
    YOUR_DAYS, NOT_KNOWN, NEXT_MORNING, SAME_DAY, FIT, FIT_X, FIT_Y, LAGS, LAGS_Y,
    SMALLER_THAN_MATTERS, *LAG_NAMES, SCALE_ENDS, NOT_YET, PAIR_TITLE, PAIR_ALT, PAIR_ALT_LAG,
    SIDE_EFFECT_TITLE, SIDE_EFFECT_Y, SIDE_EFFECT_X, SIDE_EFFECT_DOTS, SIDE_EFFECT_ALT,
    SIDE_EFFECT_ALT_CURVE, SIDE_EFFECT_ALT_BAND, RESPONSE_TITLE, RESPONSE_ALT_MEANS, AT_FIRST,
    LATELY, THIRTY_PERCENT, MEAN_OF_DAY, TIMELINE_TITLE, CALENDAR_TITLE, CALENDAR_MARKS,
    HISTORY_DAYS, HISTORY_RATED, HISTORY_UNRATED, AROUND_TITLE, AROUND_USED, AROUND_WITHOUT,
    AROUND_WHY, BEFORE, AFTER, RATINGS_TITLE, RATINGS_ALT, RATINGS_ALT_BASELINE, BASELINE_LINE,
)  # fmt: skip
