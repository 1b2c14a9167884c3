//! The methods on paragraphs as people write them.

use super::entities::Kind;
use super::*;

const REVIEW: &str = "I ordered the Falcon coffee grinder three weeks ago and I am thrilled with it. The grind is consistent, \
the motor is quiet and cleaning takes no time. Customer service was friendly and answered promptly. \
I would highly recommend this coffee grinder to anyone.";

const COMPLAINT: &str = "This is the worst hotel we have ever stayed in. The room was dirty, the staff were rude and the heating was broken. \
We complained twice and were ignored. I am not happy and I want a refund.";

const ARTICLE: &str = "The Rhine is one of the major rivers of Europe. It begins in the Swiss Alps and flows through Germany and the \
Netherlands before it reaches the North Sea. The Rhine has been an important trade route since Roman times. Today barges on the Rhine carry \
coal, oil, grain and containers between the ports of Rotterdam and Basel. Low water in dry summers has become a growing problem for river \
trade. In 2018 barges on the Rhine could carry only a third of their usual load. Engineers now deepen the river bed at its shallowest places. \
Local bakeries also sell a cake named after the river.";

const LETTER: &str = "Dear Ms. Weber,\n\nthank you for your order of 12 March 2026. Please transfer 1.234,50 € to IBAN DE89 3704 0044 0532 0130 00 \
by 2026-04-01. The invoice was issued by Northwind Traders GmbH, and Anna Schmidt will answer your questions: \
anna.schmidt@northwind.example or +49 30 1234567. Terms: https://northwind.example/terms. A discount of 2.5 % applies above $3 million.\n";

fn read(text: &str) -> Analysis {
    analyze(&Config { text: text.to_owned(), tasks: None, max_key_phrases: 5, summary_sentences: 2 })
}

fn score(text: &str) -> Label {
    sentiment::of(&Text::read(text)).label
}

#[test]
fn praise_and_complaint_are_told_apart() {
    assert_eq!(score(REVIEW), Label::Positive);
    assert_eq!(score(COMPLAINT), Label::Negative);
    assert_eq!(score("The meeting is at ten. The agenda has four items and starts with the budget."), Label::Neutral);
    assert_eq!(
        score("Das Hotel war leider sehr schmutzig und das Personal unfreundlich. Wir sind enttäuscht."),
        Label::Negative
    );
    assert_eq!(score("Le service était excellent et la chambre très agréable, nous sommes ravis."), Label::Positive);
    assert_eq!(score("El producto llegó roto y la atención fue pésima, una estafa."), Label::Negative);
}

#[test]
fn a_negation_turns_what_follows_it() {
    assert_eq!(score("The food was good and the staff friendly."), Label::Positive);
    assert_eq!(score("The food was not good and the staff weren't friendly."), Label::Negative);
    assert_eq!(score("There was never a problem with the delivery of this parcel."), Label::Positive);
}

#[test]
fn a_language_without_a_lexicon_gets_no_opinion() {
    let japanese = sentiment::of(&Text::read(
        "このホテルはとても素晴らしかったです。スタッフも親切で、また泊まりたいと思います。",
    ));
    assert_eq!((japanese.label, japanese.score), (Label::Unknown, None));
}

#[test]
fn the_language_is_named() {
    let code = |text: &str| read(text).language.unwrap().code;
    assert_eq!(code(ARTICLE).as_deref(), Some("en"));
    assert_eq!(
        code("Der Rhein ist einer der großen Flüsse Europas und fließt durch Deutschland.").as_deref(),
        Some("de")
    );
    assert_eq!(code("12345 67890"), None);
}

#[test]
fn key_phrases_are_what_the_text_is_about() {
    let phrases: Vec<String> =
        read(REVIEW).key_phrases.unwrap().into_iter().map(|phrase| phrase.text.to_lowercase()).collect();
    assert!(phrases.iter().any(|phrase| phrase.contains("coffee grinder")), "{phrases:?}");
    let of_article: Vec<String> = read(ARTICLE).key_phrases.unwrap().into_iter().map(|phrase| phrase.text).collect();
    assert!(of_article.iter().all(|phrase| ARTICLE.contains(phrase.as_str())), "{of_article:?}");
}

#[test]
fn a_summary_is_made_of_the_texts_central_sentences_in_order() {
    let summary = read(ARTICLE).summary.unwrap();
    assert!(summary.contains("Rhine") && !summary.contains("cake"), "{summary}");
    let places: Vec<usize> =
        Text::read(&summary).sentences.iter().map(|sentence| ARTICLE.find(sentence).unwrap()).collect();
    assert!(places.len() == 2 && places.is_sorted(), "{summary}");
    assert_eq!(read("Short.").summary.as_deref(), Some("Short."));
    assert_eq!(read("").summary.as_deref(), Some(""));
}

#[test]
fn entities_are_found_checked_and_normalised() {
    let found = read(LETTER).entities.unwrap();
    let all = |kind: Kind| -> Vec<(&str, Option<&str>)> {
        let of_kind = found.iter().filter(|entity| entity.kind == kind);
        of_kind.map(|entity| (entity.text.as_str(), entity.value.as_deref())).collect()
    };
    assert_eq!(all(Kind::Date), [("12 March 2026", Some("2026-03-12")), ("2026-04-01", Some("2026-04-01"))]);
    assert_eq!(all(Kind::Money), [("1.234,50 €", Some("EUR 1234.50")), ("$3 million", Some("USD 3000000"))]);
    assert_eq!(all(Kind::Iban), [("DE89 3704 0044 0532 0130 00", Some("DE89370400440532013000"))]);
    assert_eq!(all(Kind::Email), [("anna.schmidt@northwind.example", Some("anna.schmidt@northwind.example"))]);
    assert_eq!(all(Kind::Phone), [("+49 30 1234567", Some("+49301234567"))]);
    assert_eq!(all(Kind::Url), [("https://northwind.example/terms", Some("https://northwind.example/terms"))]);
    assert_eq!(all(Kind::Percent), [("2.5 %", None)]);
    assert_eq!(all(Kind::Organization), [("Northwind Traders GmbH", None)]);
    assert!(all(Kind::Name).contains(&("Anna Schmidt", None)), "{found:?}");
    let letters: Vec<char> = LETTER.chars().collect();
    for entity in &found {
        assert_eq!(letters[entity.start..entity.end].iter().collect::<String>(), entity.text);
    }
}

#[test]
fn a_wrong_iban_is_no_iban() {
    let found = read("Please pay to DE89 3704 0044 0532 0130 01 today.").entities.unwrap();
    assert!(found.iter().all(|entity| entity.kind != Kind::Iban), "{found:?}");
}

#[test]
fn only_what_was_asked_for_is_there() {
    let config =
        Config { text: REVIEW.into(), tasks: Some(vec![Task::Sentiment]), max_key_phrases: 5, summary_sentences: 2 };
    let value = serde_json::to_value(analyze(&config)).unwrap();
    assert_eq!(value.as_object().unwrap().keys().collect::<Vec<_>>(), ["sentiment"]);
}

#[test]
fn a_hostile_text_takes_no_longer_than_its_length_allows() {
    let started = std::time::Instant::now();
    for text in [
        "a@".repeat(200_000),
        "1.".repeat(200_000),
        "Aa ".repeat(200_000),
        "A. ".repeat(100_000),
        "+1 ".repeat(100_000),
    ] {
        let analysis = read(&text);
        assert!(analysis.entities.unwrap().len() <= 2_000);
    }
    assert!(started.elapsed().as_secs() < 60, "took {:?}", started.elapsed());
}
