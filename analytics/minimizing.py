"""Finding the parameters under which something is least: L-BFGS-B of SciPy, as both likelihoods here use it.

SciPy is imported when it is needed: only the process that fits loads it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from analytics.btyd import Floats

BOUND = 12.0  # of the parameters' logarithms


def least(function: Callable[[Floats], tuple[float, Floats]], start: Floats) -> list[float]:
    """The parameters for whose logarithms the function, which gives its gradient too, is least.

    In one thread: for a few parameters, the threads of a linear algebra library only wait for each other.
    """
    from scipy.optimize import minimize
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        found = minimize(
            function,
            np.clip(start, -BOUND, BOUND),
            jac=True,
            method="L-BFGS-B",
            bounds=[(-BOUND, BOUND)] * len(start),
            options={"maxiter": 1000, "ftol": 1e-14, "gtol": 1e-8},
        )
    return [float(value) for value in np.exp(found.x)]
