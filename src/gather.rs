//! Sweep, identify, plan, read and normalise put together: readings as they come.
