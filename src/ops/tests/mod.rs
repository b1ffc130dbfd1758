//! The verbs on a real directory with images from a layout beside it.

#![expect(clippy::disallowed_methods, reason = "tests look at the result from outside")]

mod check;
mod crash;
mod deployments;
mod etc;
mod health;
mod health_crash;
mod health_marks;
mod images;
mod leftovers;
mod live;
mod machine;
mod schema;
mod staging;
mod status;
mod support;
