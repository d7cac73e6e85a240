"""Minimizing a function by SciPy's L-BFGS-B, for the maximum-likelihood fits.

SciPy is imported inside the function, so that only the process that fits loads it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from analytics.btyd import Floats

BOUND = 12.0  # of the parameters' logarithms


def least(function: Callable[[Floats], tuple[float, Floats]], start: Floats) -> list[float]:
    """The parameters whose logarithms minimize the function, which returns its gradient too.

    In one thread: with few parameters, the threads of the linear algebra library only slow it down.
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
