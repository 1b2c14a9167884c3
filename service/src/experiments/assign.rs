//! Which variant a subject gets: a pure function of salts, tenant, experiment and subject.
//!
//! Invariant: the same subject gets the same answer in every process and after every restart; a growing share keeps all
//! who took part. Whole numbers only, so that every implementation agrees; the docs publish vectors.

use domain::wire::Variant;
use sha2::{Digest, Sha256};

/// Millionths in a whole.
pub(crate) const WHOLE_PPM: u32 = 1_000_000;

/// What decides about a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// `tenant_...`
    pub tenant: String,
    /// `experiment_...`
    pub experiment: String,
    pub entry_salt: String,
    pub variant_salt: String,
    /// Millionths of the subjects that take part.
    pub share_ppm: u32,
    pub variants: Vec<Variant>,
}

impl Split {
    /// The subject's variant; `None` if it does not take part.
    #[must_use]
    pub fn assign(&self, subject: &str) -> Option<&Variant> {
        let entry = u128::from(self.point(&self.entry_salt, subject));
        // entry / 2^64 < share_ppm / 10^6, without rounding.
        if entry * u128::from(WHOLE_PPM) >= u128::from(self.share_ppm) << 64 {
            return None;
        }
        let total: u128 = self.variants.iter().map(|variant| u128::from(variant.weight)).sum();
        let place = u128::from(self.point(&self.variant_salt, subject)) * total;
        let mut below: u128 = 0;
        self.variants.iter().find(|variant| {
            below += u128::from(variant.weight);
            place < below << 64
        })
    }

    /// The first 8 bytes, big end first, of SHA-256 over salt, tenant, experiment and subject with a NUL between each.
    #[must_use]
    pub fn point(&self, salt: &str, subject: &str) -> u64 {
        let text = [salt, &self.tenant, &self.experiment, subject].join("\0");
        let digest = Sha256::digest(text.as_bytes());
        digest.iter().take(8).fold(0, |point, byte| (point << 8) | u64::from(*byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(share_ppm: u32, weights: &[u32]) -> Split {
        let variant = |(index, weight): (usize, &u32)| Variant {
            name: format!("v{}", index + 1),
            version: u32::try_from(index).unwrap() + 1,
            weight: *weight,
        };
        Split {
            tenant: "tenant_01jd0000000000000000000001".to_owned(),
            experiment: "experiment_01jd0000000000000000000002".to_owned(),
            entry_salt: "entry".to_owned(),
            variant_salt: "variant".to_owned(),
            share_ppm,
            variants: weights.iter().enumerate().map(variant).collect(),
        }
    }

    fn counts(split: &Split, subjects: u32) -> Vec<f64> {
        let mut counts = vec![0_u32; split.variants.len() + 1];
        for number in 0..subjects {
            let variant = split.assign(&format!("subject-{number}"));
            let index = variant.map_or(split.variants.len(), |variant| variant.version as usize - 1);
            counts[index] += 1;
        }
        counts.iter().map(|count| f64::from(*count) / f64::from(subjects)).collect()
    }

    #[test]
    fn a_hundred_thousand_subjects_are_split_as_the_weights_say() {
        let shares = counts(&split(WHOLE_PPM, &[1, 1]), 100_000);
        assert!((shares[0] - 0.5).abs() < 0.005 && (shares[1] - 0.5).abs() < 0.005, "{shares:?}");
        let shares = counts(&split(400_000, &[3, 1]), 100_000);
        for (share, wanted) in shares.iter().zip([0.3, 0.1, 0.6]) {
            assert!((share - wanted).abs() < 0.005, "{shares:?}");
        }
    }

    #[test]
    fn a_growing_share_keeps_everybody_and_their_variants() {
        let (small, large) = (split(200_000, &[1, 1]), split(600_000, &[1, 1]));
        for number in 0..5_000 {
            let subject = format!("subject-{number}");
            if let Some(variant) = small.assign(&subject) {
                assert_eq!(large.assign(&subject), Some(variant));
            }
        }
    }

    #[test]
    fn who_takes_part_says_nothing_of_the_variant() {
        let split = split(500_000, &[1, 1]);
        let inside: Vec<usize> = (0..20_000)
            .filter_map(|number| split.assign(&format!("subject-{number}")))
            .map(|variant| variant.version as usize - 1)
            .collect();
        let first = inside.iter().filter(|index| **index == 0).count();
        #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
        let share = first as f64 / inside.len() as f64;
        assert!((share - 0.5).abs() < 0.02, "{share}");
    }

    #[test]
    fn a_share_of_nothing_takes_nobody_and_of_everything_everybody() {
        assert!((0..1_000).all(|number| split(0, &[1]).assign(&number.to_string()).is_none()));
        assert!((0..1_000).all(|number| split(WHOLE_PPM, &[1]).assign(&number.to_string()).is_some()));
    }

    #[test]
    fn the_vectors_of_the_docs_hold() {
        let page = include_str!("../../../docs/experiments.md");
        let (_, table) = page.split_once("| subject | entry point | variant point | answer |").unwrap();
        let rows: Vec<Vec<&str>> = table
            .lines()
            .skip(2)
            .take_while(|line| line.starts_with("| `"))
            .map(|line| line.split('|').map(|cell| cell.trim().trim_matches('`')).collect())
            .collect();
        assert_eq!(rows.len(), 6, "the page has six vectors");
        let split = split(400_000, &[3, 1]);
        for row in rows {
            let subject = row[1];
            assert_eq!(format!("{:016x}", split.point(&split.entry_salt, subject)), row[2], "{subject}");
            assert_eq!(format!("{:016x}", split.point(&split.variant_salt, subject)), row[3], "{subject}");
            let answer = split.assign(subject).map_or("not in", |variant| variant.name.as_str());
            assert_eq!(answer, row[4], "{subject}");
        }
    }
}
