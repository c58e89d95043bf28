//! aioinspect as a library: `model` judges, `sys` reads, `output` phrases, `commands` order the steps.

pub mod cli;
pub mod commands;
pub mod convert;
pub mod http;
pub mod model;
pub mod output;
pub mod sys;
