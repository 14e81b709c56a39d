"""The torture harness: many processes on one session, killed at any moment, checked after each round.

    python -m tests.torture --rounds 1000 [--seed S] [--size S]

`schedule` draws from the seed who does what and who is killed when; `narrow` makes the engine's limits
small, so that what is rare happens often; `actors` is what runs in the processes; `round` starts, hears
and kills them; `evidence` keeps what they said; `check` holds it against an independent scan of the log.
`mishap` is what befalls a copy of the session after each round, and `check_mishap` what must be true then:
what was acknowledged is read, or told as lost, and comes back. The engine is only used through its public class.
"""
