//! The console: Leptos pages rendered on the server and hydrated in the browser.
