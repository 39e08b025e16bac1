//! The edge: routes, requests, answers, problems, the page.
