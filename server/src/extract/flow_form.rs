//! In which form a caller wants to read a flow: `Accept`, read by weight and then by order.
//!
//! Invariant: whoever asks for nothing that is given gets JSON.

use actix_web::HttpRequest;
use actix_web::http::header;
use service::flows::folder::FolderForm;

const YAML: [&str; 4] = ["application/yaml", "text/yaml", "application/x-yaml", "text/x-yaml"];
const ZIP: [&str; 2] = ["application/zip", "application/x-zip-compressed"];

pub(crate) fn wanted_form(request: &HttpRequest) -> FolderForm {
    let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
    of_accept(accept.unwrap_or_default())
}

fn of_accept(accept: &str) -> FolderForm {
    let mut best = (0.0, FolderForm::Json);
    for part in accept.split(',') {
        let mut words = part.split(';').map(str::trim);
        let form = match words.next().unwrap_or_default().to_ascii_lowercase().as_str() {
            name if YAML.contains(&name) => FolderForm::Yaml,
            name if ZIP.contains(&name) => FolderForm::Zip,
            "application/json" | "application/*" | "*/*" => FolderForm::Json,
            _ => continue,
        };
        let weight = words.find_map(|word| word.strip_prefix("q=")?.parse::<f64>().ok()).unwrap_or(1.0);
        if weight > best.0 {
            best = (weight, form);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heaviest_form_wins_and_nothing_known_means_json() {
        for (accept, form) in [
            ("", FolderForm::Json),
            ("*/*", FolderForm::Json),
            ("text/html", FolderForm::Json),
            ("application/yaml", FolderForm::Yaml),
            ("text/yaml;charset=utf-8, */*;q=0.1", FolderForm::Yaml),
            ("application/json;q=0.5, application/x-yaml;q=0.9", FolderForm::Yaml),
            ("application/zip", FolderForm::Zip),
            ("application/yaml;q=0", FolderForm::Json),
        ] {
            assert_eq!(of_accept(accept), form, "{accept}");
        }
    }
}
