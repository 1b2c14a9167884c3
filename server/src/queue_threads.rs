//! Threads for the worker. Its runs are many at once and nobody waits for each of them: on the threads of those who answer
//! requests they would stand in the way.

use tokio::runtime::{Builder, Runtime};

/// How far they stand behind the others. At 5 they have a quarter of a core that both want.
const NICENESS: i32 = 5;

pub(crate) struct QueueThreads(Option<Runtime>);

impl QueueThreads {
    pub(crate) fn start() -> std::io::Result<Self> {
        let mut threads = Builder::new_multi_thread();
        threads.enable_all().thread_name("weir-queue").on_thread_start(step_behind);
        Ok(Self(Some(threads.build()?)))
    }

    /// Whatever is spawned in there is executed by these threads.
    pub(crate) fn within<T>(&self, spawn: impl FnOnce() -> T) -> T {
        let _there = self.0.as_ref().map(Runtime::enter);
        spawn()
    }
}

impl Drop for QueueThreads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // The usual drop waits, which no task may.
            runtime.shutdown_background();
        }
    }
}

fn step_behind() {
    // Of the calling thread: on Linux none named is that one, and each has its own. Where that is refused it keeps the usual
    // priority, and works all the same.
    let _ = rustix::process::setpriority_process(None, NICENESS);
}
