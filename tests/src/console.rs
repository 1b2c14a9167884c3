//! The actor that a person without scripts is: reads pages, fills forms, follows redirects, keeps cookies.
use crate::{answer::Answer, key::client};
use reqwest::{Method, header};
use scraper::{ElementRef, Html, Selector};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

const PASSWORD: &str = "correct horse battery staple";
const REDIRECTS: usize = 5;

/// Somebody with a session (or, before signing in, without one).
#[derive(Debug, Clone)]
pub struct Owner {
    client: reqwest::Client,
    origin: String,
    cookies: Arc<Mutex<BTreeMap<String, String>>>,
    pub email: String,
    pub password: String,
}

/// A page as it arrived, after redirects.
#[derive(Debug, Clone)]
pub struct Page {
    /// Path and query of where the redirects ended.
    pub path: String,
    pub answer: Answer,
}

/// A form of a page with the values it came with.
#[derive(Debug, Clone)]
pub struct Form {
    action: String,
    method: Method,
    multipart: bool,
    /// The `name` of every field, in the page's order, with its value.
    fields: Vec<(String, String)>,
    files: Vec<(String, String, Vec<u8>)>,
}

impl Owner {
    /// Somebody who has no account and no cookie.
    pub fn visitor(origin: &str) -> Self {
        Self {
            client: client(),
            origin: origin.trim_end_matches('/').to_owned(),
            cookies: Arc::default(),
            email: String::new(),
            password: PASSWORD.to_owned(),
        }
    }

    /// A visitor whose connections come from another address of this machine.
    pub fn visitor_from(origin: &str, address: std::net::IpAddr) -> Self {
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
        let client = client.local_address(address).build().expect("a client with a local address can be made");
        Self { client, ..Self::visitor(origin) }
    }

    /// Uses a sign-in or first-owner link: the page it leads to is a form, which is filled and sent.
    pub async fn by_link(link: &str, email: &str, tenant: Option<&str>) -> Self {
        let link = url::Url::parse(link).unwrap_or_else(|error| panic!("not a link ({error}): {link}"));
        let mut owner = Self::visitor(&link.origin().ascii_serialization());
        email.clone_into(&mut owner.email);
        let path = &link[url::Position::BeforePath..url::Position::AfterQuery];
        let page = owner.open(path).await;
        if page.path.starts_with("/t/") {
            return owner;
        }
        let mut form = page.form(&format!("form[action^='{}'], main form", link.path()));
        form.fill_if_there("email", email);
        form.fill_if_there("password", PASSWORD);
        if let Some(tenant) = tenant {
            form.fill_if_there("tenant", tenant);
        }
        let page = owner.submit(form).await;
        assert!(
            page.path.starts_with("/t/"),
            "the link did not lead to a tenant but to {}: {}",
            page.path,
            page.answer
        );
        owner
    }

    /// Signs in with e-mail and password by the form of `/sign-in`; the page that comes of it.
    pub async fn sign_in(&self, email: &str, password: &str) -> Page {
        let mut form = self.open("/sign-in").await.form("form[action='/sign-in'], main form");
        form.fill("email", email);
        form.fill("password", password);
        self.submit(form).await
    }

    /// Opens a page, following redirects on the same origin.
    pub async fn open(&self, path: &str) -> Page {
        self.follow(self.client.get(self.address(path)), path.to_owned()).await
    }

    /// Sends a form as a browser would: with its origin and Fetch Metadata.
    pub async fn submit(&self, form: Form) -> Page {
        let mut request = self.client.request(form.method.clone(), self.address(&form.action));
        request = request.header(header::ORIGIN, &self.origin).header("sec-fetch-site", "same-origin");
        request = request.header("sec-fetch-mode", "navigate").header("sec-fetch-dest", "document");
        let path = form.action.clone();
        let request = if form.method == Method::GET {
            request.query(&form.fields)
        } else if form.multipart {
            request.multipart(form.into_multipart())
        } else {
            request.form(&form.fields)
        };
        self.follow(request, path).await
    }

    /// One request without following anything, for looking at status and headers.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let cookies = self.cookies.lock().expect("no test panics while it holds the cookies").clone();
        let cookies: Vec<String> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = if cookies.is_empty() { request } else { request.header(header::COOKIE, cookies.join("; ")) };
        let request = request.build().expect("the harness builds valid requests");
        let asked = format!("{} {}", request.method(), request.url());
        let response = match self.client.execute(request).await {
            Ok(response) => response,
            Err(error) => panic!("no answer to {asked}: {error:?}"),
        };
        let answer = Answer::read(asked, response).await;
        self.keep_cookies(&answer);
        answer
    }

    /// A request builder with the address filled in, to be given to `send`.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, self.address(path))
    }

    pub fn cookie(&self, name: &str) -> Option<String> {
        self.cookies.lock().expect("no test panics while it holds the cookies").get(name).cloned()
    }

    /// Sends a request and follows where it leads, on the same origin.
    pub async fn follow(&self, request: reqwest::RequestBuilder, mut path: String) -> Page {
        let mut answer = self.send(request).await;
        for _ in 0..REDIRECTS {
            let Some(location) = answer.header("location").filter(|_| (301..400).contains(&answer.status())) else {
                return Page { path, answer };
            };
            path = location.strip_prefix(self.origin.as_str()).unwrap_or(location).to_owned();
            assert!(path.starts_with('/'), "a redirect leaves the origin: {path}");
            answer = self.send(self.client.get(self.address(&path))).await;
        }
        panic!("more than {REDIRECTS} redirects, the last to {path}");
    }

    fn keep_cookies(&self, answer: &Answer) {
        let mut cookies = self.cookies.lock().expect("no test panics while it holds the cookies");
        for cookie in answer.headers().get_all(header::SET_COOKIE) {
            let cookie = cookie.to_str().expect("a cookie is ASCII");
            let Some((name, value)) = cookie.split(';').next().and_then(|pair| pair.split_once('=')) else { continue };
            if value.is_empty() || cookie.to_ascii_lowercase().contains("max-age=0") {
                cookies.remove(name.trim());
            } else {
                cookies.insert(name.trim().to_owned(), value.to_owned());
            }
        }
    }

    fn address(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }
}

impl Page {
    /// The text a person reads, white space collapsed.
    pub fn text(&self) -> String {
        let document = Html::parse_document(&self.answer.text());
        let body = select(&document, "body");
        let text: Vec<&str> = body.map(|body| body.text().collect()).unwrap_or_default();
        text.join(" ").split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// The texts of all elements that a selector finds.
    pub fn all(&self, selector: &str) -> Vec<String> {
        let document = Html::parse_document(&self.answer.text());
        let parsed = Selector::parse(selector).expect("the suite gives a valid selector");
        let text = |element: ElementRef<'_>| {
            element.text().collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
        };
        document.select(&parsed).map(text).collect()
    }

    /// The first form that a selector finds, with the values it shows.
    #[track_caller]
    pub fn form(&self, selector: &str) -> Form {
        let document = Html::parse_document(&self.answer.text());
        let Some(element) = select(&document, selector) else {
            panic!("no `{selector}` in {}: {}", self.path, self.answer)
        };
        let method = element.attr("method").unwrap_or("get").to_ascii_uppercase();
        let fields =
            Selector::parse("input[name], select[name], textarea[name]").expect("a constant selector is valid");
        Form {
            action: element.attr("action").filter(|action| !action.is_empty()).unwrap_or(&self.path).to_owned(),
            method: method.parse().expect("a form's method is a method"),
            multipart: element.attr("enctype") == Some("multipart/form-data"),
            fields: element.select(&fields).filter_map(field).collect(),
            files: Vec::new(),
        }
    }
}

impl Form {
    /// Sets a field that the form must have.
    #[track_caller]
    pub fn fill(&mut self, name: &str, value: &str) {
        assert!(self.fill_if_there(name, value), "the form has no field `{name}`, only {:?}", self.names());
    }

    /// Sets a field if the form has it; whether it had.
    pub fn fill_if_there(&mut self, name: &str, value: &str) -> bool {
        let found = self.fields.iter_mut().find(|field| field.0 == name);
        found.map(|field| value.clone_into(&mut field.1)).is_some()
    }

    /// Puts a file into a field.
    pub fn attach(&mut self, field: &str, name: &str, content: Vec<u8>) {
        self.files.push((field.to_owned(), name.to_owned(), content));
    }

    /// Presses the button of this name and value; only its own goes along.
    pub fn press(&mut self, name: &str, value: &str) {
        self.fields.retain(|field| field.0 != name);
        self.fields.push((name.to_owned(), value.to_owned()));
    }

    /// The value that a field came with.
    #[track_caller]
    pub fn value(&self, name: &str) -> String {
        let found = self.fields.iter().find(|field| field.0 == name).map(|field| field.1.clone());
        found.unwrap_or_else(|| panic!("the form has no field `{name}`, only {:?}", self.names()))
    }

    /// The same form as somebody else would send it: with the token of their own page.
    #[must_use]
    pub fn with_token_of(mut self, page: &Page) -> Self {
        let token = page.form("form[method=post]").fields.into_iter().find(|field| field.0 == "csrf");
        self.fill("csrf", &token.unwrap_or_else(|| panic!("no form with a token on {}", page.path)).1);
        self
    }

    /// Takes a field away, as a hostile client would.
    pub fn remove(&mut self, name: &str) {
        self.fields.retain(|field| field.0 != name);
    }

    pub fn names(&self) -> Vec<&str> {
        self.fields.iter().map(|field| field.0.as_str()).collect()
    }

    fn into_multipart(self) -> reqwest::multipart::Form {
        let mut form = reqwest::multipart::Form::new();
        for (name, value) in self.fields {
            if !self.files.iter().any(|file| file.0 == name) {
                form = form.text(name, value);
            }
        }
        for (field, name, content) in self.files {
            form = form.part(field, reqwest::multipart::Part::bytes(content).file_name(name));
        }
        form
    }
}

fn select<'a>(document: &'a Html, selector: &str) -> Option<ElementRef<'a>> {
    document.select(&Selector::parse(selector).expect("the suite gives a valid selector")).next()
}

/// What a browser would send for a field untouched: nothing for an unchecked box, the chosen option of a list.
fn field(element: ElementRef<'_>) -> Option<(String, String)> {
    let name = element.attr("name")?.to_owned();
    let value = || element.attr("value").unwrap_or_default().to_owned();
    match element.value().name() {
        "select" => {
            let option =
                |selector: &str| Selector::parse(selector).ok().and_then(|parsed| element.select(&parsed).next());
            let chosen = option("option[selected]").or_else(|| option("option"))?;
            Some((name, chosen.attr("value").map_or_else(|| chosen.text().collect(), str::to_owned)))
        }
        "textarea" => Some((name, element.text().collect())),
        _ => match element.attr("type").unwrap_or("text") {
            "checkbox" | "radio" if element.attr("checked").is_none() => None,
            "checkbox" | "radio" => Some((name, element.attr("value").unwrap_or("on").to_owned())),
            "submit" | "button" | "reset" => None,
            _ => Some((name, value())),
        },
    }
}
