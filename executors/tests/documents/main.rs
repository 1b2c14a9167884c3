//! What runs in a sandbox child: reading documents, against samples that other tools made and hostile ones that a script
//! made, costly expressions, Python, databases in files. And what needs other flows around it.
#![expect(clippy::unwrap_used, reason = "the suite's verbs fail loudly")]

mod database;
mod extraction;
mod flows;
mod hostile;
mod ocr;
mod python;
mod surroundings;
mod transform;
