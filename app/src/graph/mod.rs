//! A flow as a drawing: where the steps stand ([`layout`]) and how they look ([`draw`]).

mod draw;
mod layout;

pub(crate) use draw::{executor_icon, flow_graph};
