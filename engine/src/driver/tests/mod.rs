//! The rules of the flow language, sections 2 to 8, as a run shows them.

mod attempts;
mod children;
mod configs;
mod doubts;
mod groups;
mod handlers;
mod items;
mod kept;
mod slots;
mod stops;
mod travel;
mod unseen;
mod waits;

use domain::RunStatus;

use crate::kit::{Ran, Stage};

async fn run(yaml: &str) -> Ran {
    Stage::new(yaml).go().await
}

fn status(ran: &Ran) -> RunStatus {
    ran.settled().status
}
