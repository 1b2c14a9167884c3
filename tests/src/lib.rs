//! Black-box suites against the built program, and the harness they share.
//!
//! Invariant: the harness knows the program only from the outside (command line, HTTP, exit codes, signals), every test
//! has a store of its own, and only processes that a test started are ever ended by it.
//!
//! ```ignore
//! tests::on_both_stores! {
//!     async fn a_flow_that_was_put_can_be_run(world: World) {
//!         let acme = world.tenant("acme").await;
//!         let key = acme.key(&[]).await;
//!         key.put_flow("hello", HELLO).await.expect_success();
//!         let answer = key.run("hello", json!({"name": "Ada"})).await;
//!         assert_eq!(answer.status(), 200, "{answer}");
//!     }
//! }
//! ```
//!
//! `make suites` starts PostgreSQL and Redis (`scripts/with-services`) and builds the program; to run one suite by hand:
//! `scripts/build dev && scripts/with-services cargo nextest run -p tests --test flows`.
#![expect(clippy::expect_used, reason = "the harness ends a test with a sentence that says what did not hold")]
mod answer;
mod chance;
mod cluster;
mod console;
mod effects;
mod key;
mod limits;
mod look;
mod model_server;
mod program;
mod receiver;
mod scene;
mod size;
mod store;
mod storm;
mod stream;
mod world;

/// The folder of this package. Asked when a suite runs: checkouts may share a target folder, and with it the suites.
///
/// # Panics
/// Where neither cargo nor nextest runs the suite.
#[must_use]
pub fn room() -> std::path::PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo and nextest say where the package is").into()
}

pub use answer::Answer;
pub use chance::Chance;
pub use cluster::{Cluster, Down};
pub use console::{Form, Owner, Page};
pub use effects::{Effect, Effects, count_effects};
pub use key::ApiKey;
pub use limits::within;
pub use look::{Census, Line, Look, RunRow};
pub use model_server::ModelServer;
pub use program::{CommandAnswer, Program, Running};
pub use receiver::{Call, Receiver};
pub use scene::{Scene, refused, told};
pub use size::Size;
pub use store::{Database, Store};
pub use storm::Storm;
pub use stream::{Event, Watch, events};
pub use world::{Tenant, World};

/// Makes two tests out of each function: one on SQLite, one on PostgreSQL, each with a started program of its own.
///
/// `async fn rule(world: World) { .. }` becomes `rule::sqlite` and `rule::postgres`.
#[macro_export]
macro_rules! on_both_stores {
    ($($(#[$attribute:meta])* async fn $name:ident($world:ident: World) $body:block)*) => {
        $(
            // Says to the lints that this is a test: `unwrap` is allowed in it.
            #[cfg(test)]
            mod $name {
                #[allow(unused_imports, clippy::allow_attributes, reason = "a rule may need nothing from its file")]
                use super::*;

                async fn rule($world: $crate::World) $body

                $(#[$attribute])*
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn sqlite() {
                    rule($crate::World::start($crate::Store::Sqlite).await).await;
                }

                $(#[$attribute])*
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn postgres() {
                    rule($crate::World::start($crate::Store::Postgres).await).await;
                }
            }
        )*
    };
}
