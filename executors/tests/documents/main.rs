//! What runs in a sandbox child: reading documents, against samples that other tools made and hostile ones that a script
//! made, and costly expressions.
#![expect(clippy::unwrap_used, reason = "the suite's verbs fail loudly")]

mod extraction;
mod hostile;
mod ocr;
mod surroundings;
mod transform;
