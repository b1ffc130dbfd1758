//! Weekly windows in which a machine may restart.
//!
//! A window opens at a wall time of its time zone and stays open for a length of time that really passes:
//!
//! ```text
//! Sun 02:30, 2 h, Europe/Berlin
//!   an ordinary day                  02:30 +01:00 … 04:30 +01:00
//!   clocks go forward, no 02:30      03:00 +02:00 … 05:00 +02:00    it opens when the gap ends
//!   clocks go back, 02:30 twice      02:30 +02:00 … 03:30 +01:00    it opens at the first one
//! ```
//!
//! So it never is shorter than it was written, and never opens twice. It may go on over midnight and the end of the week; windows
//! that overlap or touch are one. All is computed from the time that is asked about: a clock that jumps does no harm.

mod calendar;
mod week;

pub use calendar::Calendar;
pub use week::{Window, WindowError, parse_days, parse_start};
