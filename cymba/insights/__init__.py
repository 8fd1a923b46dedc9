"""What a person's days show of stimulation and symptoms, and how sure that is.

`inputs` reads sessions and diary, and `days` makes local days of them, by `exposures` and
`outcomes`. `analysis` grades each pair with the pure functions of `statistics`; `findings` stores
the result. `side_effects`, `responses` and `symptom_days` are computed when they are read.
`sentences` puts the numbers into the texts of `words`, `pictures` draws them, and `experiments`
are trials of one's own.
"""
