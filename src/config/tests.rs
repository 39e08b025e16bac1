//! Settings, as somebody who runs the service meets them.

use super::*;

fn environment(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn refusal(file: Option<&str>, pairs: &[(&str, &str)]) -> String {
    let path = Path::new("camlens.toml");
    let error = Config::load(file.map(|text| (path, text)), environment(pairs)).unwrap_err();
    assert_eq!(error.kind(), Kind::Setup);
    let line = error.to_string();
    assert!(!line.contains('\n'), "{line}");
    line
}

const EXPLAINED: &str = include_str!("../../config/default.toml");

#[test]
fn the_explained_file_holds_the_defaults_and_every_key() {
    assert_eq!(Config::parse(EXPLAINED).unwrap(), Config::default());
    let mut section = String::new();
    let mut found = Vec::new();
    for line in EXPLAINED.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
        } else if let Some((key, _)) = line.trim_start_matches("# ").split_once(" = ") {
            found.push(format!("{section}.{key}"));
        }
    }
    assert_eq!(found, SETTINGS.iter().map(|setting| setting.key).collect::<Vec<_>>());
    for setting in SETTINGS {
        assert!(EXPLAINED.contains(setting.variable), "{}", setting.variable);
    }
}

/// What stands commented out, because its default is "none", must be right too.
#[test]
fn what_the_explained_file_comments_out_can_be_taken_in() {
    let text: String = EXPLAINED
        .lines()
        .map(|line| line.strip_prefix("# ").filter(|line| line.contains(" = ")).unwrap_or(line))
        .map(|line| format!("{line}\n"))
        .collect();
    let config = Config::parse(&text).unwrap();
    assert!(config.engine.threads.is_some() && config.models.default.is_some());
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() {
    let file = "[server]\nqueue = 3\nworkers = 2\n";
    let config = Config::load(
        Some((Path::new("f"), file)),
        environment(&[("CAMLENS_QUEUE", "7"), ("HOME", "/")]),
    )
    .unwrap();
    assert_eq!((config.server.queue, config.server.workers, config.engine.batch), (7, 2, 8));
}

#[test]
fn every_setting_can_be_set_by_its_variable() {
    let value = |variable: &str| match variable {
        "CAMLENS_LISTEN" => "0.0.0.0:1",
        "CAMLENS_CORS_ORIGINS" => "https://a.example, http://b.example:8000",
        "CAMLENS_FAST_KERNELS" | "CAMLENS_SKIP_ZEROS" => "false",
        "CAMLENS_LOG_FORMAT" => "json",
        "CAMLENS_LOG_LEVEL" => "debug",
        _ => "5",
    };
    for setting in SETTINGS {
        let pairs = environment(&[(setting.variable, value(setting.variable))]);
        let config = Config::load(None, pairs).unwrap();
        assert_ne!(config, Config::default(), "{}", setting.variable);
    }
}

#[test]
fn a_wrong_setting_stops_the_start_with_a_line_that_names_it() {
    insta::assert_snapshot!(refusal(None, &[("CAMLENS_QUEUE", "many")]), @"CAMLENS_QUEUE must be a whole number, not 'many'");
    insta::assert_snapshot!(refusal(None, &[("CAMLENS_QUEUE", "0")]), @"CAMLENS_QUEUE must be from 1 to 100000, not '0'");
    insta::assert_snapshot!(refusal(None, &[("CAMLENS_LISTEN", "8080")]), @"CAMLENS_LISTEN must be an address and a port, such as 127.0.0.1:8080 or [::]:8080, not '8080'");
    insta::assert_snapshot!(refusal(None, &[("CAMLENS_LOG_FORMAT", "xml")]), @"CAMLENS_LOG_FORMAT must be text or json, not 'xml'");
    insta::assert_snapshot!(refusal(None, &[("CAMLENS_LOG_LEVEL", "loud,,=")]), @"CAMLENS_LOG_LEVEL must be error, warn, info, debug, trace or a filter such as info,camlens=debug, not 'loud,,='");
    insta::assert_snapshot!(refusal(None, &[("CAMLENS_CORS_ORIGINS", "example.org")]), @"CAMLENS_CORS_ORIGINS must be origins such as https://example.org, without a path, or *, not 'example.org'");
    insta::assert_snapshot!(refusal(Some("[server]\nqueue = 0\n"), &[]), @"camlens.toml: server.queue must be from 1 to 100000");
    insta::assert_snapshot!(refusal(Some("[server]\nqueue = \"0\"\n"), &[]), @r#"camlens.toml: line 2: queue: invalid type: string "0", expected usize"#);
    insta::assert_snapshot!(refusal(Some("[server]\nlisten = \"here\"\n"), &[]), @"camlens.toml: line 2: listen: invalid socket address syntax");
    insta::assert_snapshot!(refusal(Some("[server\n"), &[]), @"camlens.toml: line 1: unclosed table, expected `]`");
}

#[test]
fn an_unknown_setting_stops_the_start_too() {
    insta::assert_snapshot!(refusal(Some("[server]\nlissten = \"127.0.0.1:1\"\n"), &[]), @"camlens.toml: line 2: unknown field `lissten`, expected one of `listen`, `body_bytes`, `max_pixels`, `queue`, `workers`, `connections`, `header_timeout_ms`, `body_timeout_ms`, `request_timeout_ms`, `drain_timeout_ms`, `cors_origins`");
    let line = refusal(None, &[("CAMLENS_QUEU", "1")]);
    assert!(
        line.starts_with("CAMLENS_QUEU: there is no such setting; there are CAMLENS_LISTEN, "),
        "{line}"
    );
}

#[test]
fn what_kubernetes_and_the_page_s_tests_set_is_not_ours() {
    let pairs = environment(&[
        ("CAMLENS_PORT", "tcp://10.0.0.1:8080"),
        ("CAMLENS_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("CAMLENS_SERVICE_HOST", "10.0.0.1"),
        ("CAMLENS_URL", "http://127.0.0.1:1"),
    ]);
    assert_eq!(Config::load(None, pairs).unwrap(), Config::default());
}
