//! An inbox in memory.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::Notify;

use crate::event::Outside;
use crate::ports::{Delivery, Inbox, PortError};

#[derive(Default)]
pub struct MemoryInbox {
    waiting: Mutex<VecDeque<Delivery>>,
    arrived: Notify,
}

impl MemoryInbox {
    pub fn put(&self, id: impl Into<String>, by: impl Into<String>, what: Outside) {
        let delivery = Delivery { id: id.into(), by: by.into(), what };
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push_back(delivery);
        self.arrived.notify_one();
    }
}

#[async_trait]
impl Inbox for MemoryInbox {
    async fn next(&self) -> Result<Delivery, PortError> {
        loop {
            let next = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            if let Some(delivery) = next {
                return Ok(delivery);
            }
            self.arrived.notified().await;
        }
    }
}
