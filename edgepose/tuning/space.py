"""MetaSchedule's parts, made from our settings. Imports tvm: only for the tuning process."""

from typing import Any

from tvm.s_tir import meta_schedule as ms
from tvm.s_tir.meta_schedule import schedule_rule as rules

from edgepose.tuning.settings import SearchSettings


def space_generator(settings: SearchSettings, block: int) -> Any:
    """The schedules to choose from: tiled, vectorised over ``block`` floats, unrolled, parallel."""
    return ms.space_generator.PostOrderApply(
        sch_rules=[
            rules.InlineConstantScalars(),
            rules.AutoInline(
                into_producer=False,
                into_consumer=True,
                inline_const_tensor=True,
                disallow_if_then_else=True,
                require_injective=True,
                require_ordered=True,
                disallow_op=["tirx.exp"],
            ),
            rules.AddRFactor(
                max_jobs_per_core=settings.jobs_per_core,
                max_innermost_factor=settings.max_innermost_factor,
            ),
            rules.MultiLevelTiling(
                structure=settings.tiling,
                max_innermost_factor=settings.max_innermost_factor,
                reuse_write=rules.ReuseType(req="may", levels=[1, 2], scope="global"),
            ),
            rules.ParallelizeVectorizeUnroll(
                max_jobs_per_core=settings.jobs_per_core,
                max_vectorize_extent=settings.vector_registers * block,
                unroll_max_steps=list(settings.unroll_steps),
                unroll_explicit=True,
            ),
            rules.RandomComputeLocation(),
        ],
    )


def strategy(settings: SearchSettings) -> Any:
    return ms.search_strategy.EvolutionarySearch(
        population_size=settings.population,
        init_measured_ratio=settings.measured_share,
        init_min_unmeasured=settings.min_unmeasured,
        max_fail_count=settings.max_sampling_failures,
        genetic_num_iters=settings.generations,
        genetic_mutate_prob=settings.mutation_probability,
        genetic_max_fail_count=settings.max_mutation_failures,
        eps_greedy=settings.greedy_share,
    )


def cost_model(settings: SearchSettings) -> Any:
    """One thread learns faster than two from so few samples: XGBoost's threads spin."""
    return ms.cost_model.XGBModel(
        num_warmup_samples=settings.model_warmup_trials, num_tuning_cores=1
    )
