//! The agent: the real program in a loop, on a machine as [`crate::day_two`] has it. What would restart the machine is a
//! program of the test's.

mod alone;
mod faults;
mod fleet;
mod host;
