from helpers.distillation_runs import teacher  # noqa: F401
