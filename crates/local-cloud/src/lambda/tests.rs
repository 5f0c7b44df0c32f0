//! Lambda with scripted functions, through its API and through [`Invoke`](crate::invoke::Invoke).

mod asynchronous;
mod control;
mod executing;
mod failing;
mod sdk;
pub(crate) mod world;

#[path = "../../../../tests/bootstrap/compiled.rs"]
pub(crate) mod scripted;
