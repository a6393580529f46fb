use std::path::PathBuf;

use minijinja::{Value, context};

use crate::model::Layout;
use crate::stack::{ErrorPage, Stack};

/// When an app does not answer, it is most likely starting.
const STARTING: [u16; 3] = [502, 503, 504];

/// Loads itself again, without a script.
const STARTING_PAGE: &str = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
     <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
     <meta name=\"color-scheme\" content=\"light dark\"><meta http-equiv=\"refresh\" content=\"5\">\
     <title>One moment</title></head><body><h1>One moment</h1>\
     <p>This site does not answer yet. The page looks again every five seconds.</p></body></html>\n";

/// The owner's pages: status, the path they have inside, the file.
pub(super) fn pages(stack: &Stack, layout: &Layout) -> Vec<Value> {
    let pages = stack.error_pages.iter();
    pages
        .map(|(status, page)| {
            let file = page_file(stack, page, layout);
            context! {
                status,
                // Begins with a dot: no request gets there.
                path => format!("/.tavern-error/{status}"),
                file => file.to_string_lossy(),
            }
        })
        .collect()
}

/// Where a page of the owner's lies.
pub(in crate::expand) fn page_file(stack: &Stack, page: &ErrorPage, layout: &Layout) -> PathBuf {
    match page {
        ErrorPage::Seeded(name) => layout.error_pages(&stack.name).join(name),
        ErrorPage::File(path) => path.clone(),
    }
}

/// Statuses that the page for an app that starts is for.
pub(super) fn starting(stack: &Stack) -> Vec<u16> {
    let without_own = |status: &u16| !stack.error_pages.contains_key(status);
    STARTING.into_iter().filter(without_own).collect()
}

pub(super) fn starting_page() -> &'static str {
    STARTING_PAGE.trim_end()
}
