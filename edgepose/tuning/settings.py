"""How candidates are made, picked, built and timed: every number of the search in one place."""

import msgspec


class SearchSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of MetaSchedule's search and of our measurements.

    Rounds are small, because only measured trials guide the next round. The population is far
    below TVM's 512: with that, guessing takes longer than measuring.
    """

    # Rounds and the choice of the next task (see ``scheduler``).
    round_size: int = 8
    gradient_alpha: float = 0.2
    gradient_window: int = 3
    seed: int = 0

    # The space of schedules.
    tiling: str = "SSRSRS"
    max_innermost_factor: int = 64
    vector_registers: int = 1  # a vectorised loop spans at most so many registers
    unroll_steps: tuple[int, ...] = (0, 16, 64, 512)  # at least two, for mutations to choose
    jobs_per_core: int = 16

    # The evolutionary search.
    population: int = 64
    measured_share: float = 0.25
    min_unmeasured: int = 16
    generations: int = 3
    mutation_probability: float = 0.85
    greedy_share: float = 0.1  # picked at random, not by the cost model
    max_sampling_failures: int = 4
    max_mutation_failures: int = 8
    model_warmup_trials: int = 32  # before these the cost model guesses at random

    # What is measured before the search guesses: the best of another database (a proxy's), and the
    # schedules that an untuned artifact would have, then the next best by the same rule. After
    # these rounds every other one is by rule. So no record can be worse than none.
    seeds_per_task: int = 4
    rounds_by_rule: int = 1

    # Building and timing. The best of ``repeats`` counts: noise only ever adds.
    build_timeout_s: float = 60.0
    run_timeout_s: float = 60.0
    repeats: int = 3
    min_repeat_ms: int = 20
    hopeless_factor: float = 5.0  # so much slower than the best: its first run is all it gets
    hot_c: float = 70.0
    cool_down_s: float = 300.0
    throttled_retries: int = 5
    board_wait_s: float = 300.0
