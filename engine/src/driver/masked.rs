//! Progress with secrets taken out of it.
//!
//! Invariant: a secret is seen also where it comes in pieces: the end of a piece that may begin one waits for the next.

use std::sync::{Arc, Mutex, PoisonError};

use crate::executor::Progress;
use crate::template::Masker;

pub(super) struct Masked {
    inner: Arc<dyn Progress>,
    secrets: Masker,
    held: Mutex<String>,
}

impl Masked {
    pub(super) fn new(inner: Arc<dyn Progress>, secrets: Masker) -> Self {
        Self { inner, secrets, held: Mutex::default() }
    }

    fn say(&self, text: &str) {
        if !text.is_empty() {
            self.inner.delta(self.secrets.mask(text).as_deref().unwrap_or(text));
        }
    }
}

impl Progress for Masked {
    fn delta(&self, text: &str) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.push_str(text);
        let decided = self.secrets.undecided(&held);
        let rest = held.split_off(decided);
        let decided = std::mem::replace(&mut *held, rest);
        self.say(&decided);
    }

    fn advanced(&self, done: u64, total: Option<u64>, unit: &str) {
        self.inner.advanced(done, total, unit);
    }
}

impl Drop for Masked {
    fn drop(&mut self) {
        let held = std::mem::take(self.held.get_mut().unwrap_or_else(PoisonError::into_inner));
        self.say(&held);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Heard(Mutex<Vec<String>>);

    impl Progress for Heard {
        fn delta(&self, text: &str) {
            self.0.lock().unwrap().push(text.to_owned());
        }
        fn advanced(&self, _done: u64, _total: Option<u64>, _unit: &str) {}
    }

    fn heard(pieces: &[&str]) -> Vec<String> {
        let heard = Arc::new(Heard::default());
        let masked = Masked::new(heard.clone(), Masker::new(&["hunter22".to_owned()]));
        pieces.iter().for_each(|piece| masked.delta(piece));
        drop(masked);
        heard.0.lock().unwrap().clone()
    }

    #[test]
    fn a_secret_in_pieces_is_masked_and_nothing_else_is_lost() {
        assert_eq!(heard(&["the key is hun", "ter", "22, keep it"]), ["the key is ", "***, keep it"]);
        let letters: Vec<String> = "a hunter22 b hunt".chars().map(String::from).collect();
        let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
        assert_eq!(heard(&letters).concat(), "a *** b hunt");
        assert_eq!(heard(&["plain", " text"]), ["plain", " text"]);
    }
}
