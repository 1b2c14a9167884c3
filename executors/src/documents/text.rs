//! Bytes as text: which encoding, which language.
//!
//! Invariant: decoding never fails and never loses a character that the encoding has.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8};
use whatlang::Lang;

/// Text with the name of the encoding it came in (WHATWG, lower case).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decoded {
    pub text: String,
    pub encoding: String,
}

/// Decodes by byte order mark, else as UTF-8 if it is that, else by the best guess.
pub(crate) fn decode(bytes: &[u8]) -> Decoded {
    decode_as(bytes, None)
}

/// The same, with an encoding that the document itself names (`<meta charset>`); a byte order mark wins over it.
pub(crate) fn decode_as(bytes: &[u8], declared: Option<&'static Encoding>) -> Decoded {
    let encoding = match Encoding::for_bom(bytes) {
        Some((encoding, _)) => encoding,
        None if std::str::from_utf8(bytes).is_ok() => UTF_8,
        None => declared.unwrap_or_else(|| guess(bytes)),
    };
    let (text, encoding, _) = encoding.decode(bytes);
    Decoded { text: text.into_owned(), encoding: encoding.name().to_ascii_lowercase() }
}

fn guess(bytes: &[u8]) -> &'static Encoding {
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(&bytes[..bytes.len().min(1 << 20)], true);
    detector.guess(None, Utf8Detection::Allow)
}

/// `None` if the bytes are hardly text: more than a few control characters.
pub(crate) fn decode_if_text(bytes: &[u8]) -> Option<Decoded> {
    let marked = Encoding::for_bom(bytes).is_some();
    if !marked && bytes.contains(&0) {
        return None;
    }
    // A cut in the middle of a character must not make UTF-8 look like something else.
    let whole = match std::str::from_utf8(bytes) {
        Err(error) if !marked && error.error_len().is_none() => error.valid_up_to(),
        _ => bytes.len(),
    };
    let decoded = decode(bytes.get(..whole).unwrap_or(bytes));
    let controls = decoded.text.chars().filter(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\x0c')).count();
    (controls * 100 <= decoded.text.chars().count()).then_some(decoded)
}

/// Line ends as `\n`, no byte order mark, no trailing blanks at the end.
pub(crate) fn tidy(text: &str) -> String {
    text.trim_start_matches('\u{feff}').replace("\r\n", "\n").replace('\r', "\n").trim_end().to_owned()
}

/// The language by ISO 639-1 where it has such a code, else 639-3; `None` if the text does not say clearly.
pub(crate) fn language(text: &str) -> Option<String> {
    let sample: String = text.chars().take(20_000).collect();
    let info = whatlang::detect(&sample)?;
    // Over a few sentences even a narrow lead is right as a rule; over a few words only a wide one is.
    let clear = info.is_reliable() || (info.confidence() > 0.3 && sample.split_whitespace().count() >= 30);
    clear.then(|| code(info.lang()).to_owned())
}

fn code(lang: Lang) -> &'static str {
    match lang {
        Lang::Eng => "en",
        Lang::Deu => "de",
        Lang::Fra => "fr",
        Lang::Spa => "es",
        Lang::Ita => "it",
        Lang::Por => "pt",
        Lang::Nld => "nl",
        Lang::Dan => "da",
        Lang::Swe => "sv",
        Lang::Nob => "nb",
        Lang::Fin => "fi",
        Lang::Pol => "pl",
        Lang::Ces => "cs",
        Lang::Slk => "sk",
        Lang::Slv => "sl",
        Lang::Hun => "hu",
        Lang::Ron => "ro",
        Lang::Bul => "bg",
        Lang::Hrv => "hr",
        Lang::Srp => "sr",
        Lang::Mkd => "mk",
        Lang::Ell => "el",
        Lang::Rus => "ru",
        Lang::Ukr => "uk",
        Lang::Bel => "be",
        Lang::Est => "et",
        Lang::Lav => "lv",
        Lang::Lit => "lt",
        Lang::Tur => "tr",
        Lang::Ara => "ar",
        Lang::Heb => "he",
        Lang::Pes => "fa",
        Lang::Hin => "hi",
        Lang::Ben => "bn",
        Lang::Tam => "ta",
        Lang::Tel => "te",
        Lang::Tha => "th",
        Lang::Vie => "vi",
        Lang::Ind => "id",
        Lang::Cmn => "zh",
        Lang::Jpn => "ja",
        Lang::Kor => "ko",
        Lang::Cat => "ca",
        Lang::Afr => "af",
        Lang::Lat => "la",
        Lang::Epo => "eo",
        other => other.code(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_utf8_and_guesses_come_in_that_order() {
        assert_eq!(decode("Grüße".as_bytes()), Decoded { text: "Grüße".into(), encoding: "utf-8".into() });
        let latin: Vec<u8> = "José Núñez aus Málaga und Grüße".chars().map(|c| c as u8).collect();
        assert_eq!(decode(&latin).text, "José Núñez aus Málaga und Grüße");
        let wide: Vec<u8> = "\u{feff}Протокол".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let decoded = decode(&wide);
        assert_eq!((tidy(&decoded.text).as_str(), decoded.encoding.as_str()), ("Протокол", "utf-16le"));
    }

    #[test]
    fn a_cut_character_does_not_make_utf8_something_else() {
        let text = "ä".repeat(100);
        assert_eq!(decode_if_text(&text.as_bytes()[..199]).unwrap().encoding, "utf-8");
        assert!(decode_if_text(b"\x01\x02\x03\x04abc").is_none());
    }

    #[test]
    fn the_language_is_told_only_when_it_is_clear() {
        let english = "The harbour office measured the water quality at four stations in February and wrote it down.";
        assert_eq!(language(english).as_deref(), Some("en"));
        assert_eq!(language("12 34"), None);
    }
}
