//! Tests of the settings, from an operator's point of view.

use super::*;

fn environment(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn load_error(file: Option<&str>, pairs: &[(&str, &str)]) -> String {
    let path = Path::new("camlens.toml");
    let error = Config::load(file.map(|text| (path, text)), environment(pairs)).unwrap_err();
    assert_eq!(error.kind(), Kind::Setup);
    let line = error.to_string();
    assert!(!line.contains('\n'), "{line}");
    line
}

const DEFAULT_TOML: &str = include_str!("../../config/default.toml");

#[test]
fn default_toml_equals_the_defaults_and_lists_every_key() {
    assert_eq!(Config::parse(DEFAULT_TOML).unwrap(), Config::default());
    let mut section = String::new();
    let mut found = Vec::new();
    for line in DEFAULT_TOML.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
        } else if let Some((key, _)) = line.trim_start_matches("# ").split_once(" = ") {
            found.push(format!("{section}.{key}"));
        }
    }
    assert_eq!(found, SETTINGS.iter().map(|setting| setting.key).collect::<Vec<_>>());
    for setting in SETTINGS {
        assert!(DEFAULT_TOML.contains(setting.variable), "{}", setting.variable);
    }
}

/// Settings whose default is "none" are commented out in the file; uncommented, they must be valid.
#[test]
fn commented_out_settings_of_default_toml_are_valid() {
    let text: String = DEFAULT_TOML
        .lines()
        .map(|line| line.strip_prefix("# ").filter(|line| line.contains(" = ")).unwrap_or(line))
        .map(|line| format!("{line}\n"))
        .collect();
    let config = Config::parse(&text).unwrap();
    assert!(config.engine.threads.is_some() && config.models.default.is_some());
}

#[test]
fn the_environment_overrides_the_file_and_the_file_overrides_the_defaults() {
    let file = "[server]\nqueue = 3\nworkers = 2\n";
    let config = Config::load(
        Some((Path::new("f"), file)),
        environment(&[("CAMLENS_QUEUE", "7"), ("HOME", "/")]),
    )
    .unwrap();
    assert_eq!((config.server.queue, config.server.workers, config.engine.batch), (7, 2, 8));
}

#[test]
fn every_setting_can_be_set_by_its_environment_variable() {
    let value = |variable: &str| match variable {
        "CAMLENS_LISTEN" | "CAMLENS_ADMIN_LISTEN" => "0.0.0.0:1",
        "CAMLENS_CORS_ORIGINS" => "https://a.example, http://b.example:8000",
        "CAMLENS_MODEL_NAME" => "cats",
        "CAMLENS_FAST_KERNELS" | "CAMLENS_SKIP_ZEROS" => "false",
        "CAMLENS_WEIGHTS" => "copy",
        "CAMLENS_TRIAL" => "always",
        "CAMLENS_ADMIN" => "true",
        "CAMLENS_LOG_FORMAT" => "json",
        "CAMLENS_LOG_LEVEL" => "debug",
        "CAMLENS_MEMORY_BUDGET" => "100000000",
        _ => "5",
    };
    for setting in SETTINGS {
        let pairs = environment(&[(setting.variable, value(setting.variable))]);
        let config = Config::load(None, pairs).unwrap();
        assert_ne!(config, Config::default(), "{}", setting.variable);
    }
}

#[test]
fn an_invalid_setting_is_an_error_of_one_line_that_names_it() {
    let of_variable = |name: &str, value: &str| load_error(None, &[(name, value)]);
    for (name, value, expected) in [
        ("CAMLENS_QUEUE", "many", "a whole number"),
        ("CAMLENS_QUEUE", "0", "from 1 to 100000"),
        ("CAMLENS_LISTEN", "8080", "an address and a port, such as 127.0.0.1:8080 or [::]:8080"),
        ("CAMLENS_LOG_FORMAT", "xml", "text or json"),
        (
            "CAMLENS_LOG_LEVEL",
            "loud,,=",
            "error, warn, info, debug, trace, off or a filter such as info,camlens=debug",
        ),
        (
            "CAMLENS_LOG_LEVEL",
            "loud",
            "error, warn, info, debug, trace, off or a filter such as info,camlens=debug",
        ),
        ("CAMLENS_THREADS", "100000", "from 1 to 1024"),
        ("CAMLENS_BATCH", "5000000", "from 1 to 1024"),
        ("CAMLENS_WORKERS", "513", "from 1 to 256"),
        ("CAMLENS_LAYER_SESSIONS", "1000000", "from 0 to 256"),
        (
            "CAMLENS_CORS_ORIGINS",
            "example.org",
            "origins such as https://example.org, without a path, or *",
        ),
    ] {
        let line = format!("{name} must be {expected}, not '{value}'");
        assert_eq!(of_variable(name, value), line);
    }
    let of_file = |text: &str| load_error(Some(text), &[]);
    for (text, expected) in [
        ("[server]\nqueue = 0\n", "server.queue must be from 1 to 100000, not '0'"),
        ("[engine]\nthreads = 100000\n", "engine.threads must be from 1 to 1024, not '100000'"),
        (
            "[log]\nlevel = \"loud\"\n",
            "log.level must be error, warn, info, debug, trace, off or a filter such as \
             info,camlens=debug, not 'loud'",
        ),
        ("[server]\nqueue = \"0\"\n", "line 2: queue: invalid type: string \"0\", expected usize"),
        ("[server]\nlisten = \"here\"\n", "line 2: listen: invalid socket address syntax"),
        ("[server\n", "line 1: unclosed table, expected `]`"),
    ] {
        assert_eq!(of_file(text), format!("camlens.toml: {expected}"));
    }
}

#[test]
fn every_number_has_an_upper_bound_that_its_error_names() {
    for setting in SETTINGS {
        let value = u64::MAX.to_string();
        let Err(error) = Config::load(None, environment(&[(setting.variable, &value)])) else {
            // A text may be anything.
            let texts = [
                "models.folder",
                "models.default",
                "engine.runtime",
                "server.model_name",
                "server.api_keys",
            ];
            assert!(texts.contains(&setting.key), "{} has no bound", setting.key);
            continue;
        };
        assert!(error.to_string().contains(" must be "), "{error}");
    }
}

#[test]
fn an_unknown_setting_is_an_error() {
    assert_eq!(
        load_error(Some("[server]\nlissten = \"127.0.0.1:1\"\n"), &[]),
        "camlens.toml: line 2: unknown field `lissten`, expected one of `listen`, `admin_listen`, \
         `body_bytes`, `max_pixels`, `queue`, `workers`, `memory_budget`, `connections`, \
         `header_timeout_ms`, `keep_alive_ms`, `body_timeout_ms`, `min_body_rate`, \
         `request_timeout_ms`, `send_timeout_ms`, `send_bytes_per_s`, `shutdown_delay_ms`, \
         `drain_timeout_ms`, `admin`, `cors_origins`, `api_keys`, `model_name`"
    );
    let line = load_error(None, &[("CAMLENS_API_KEYS", "")]);
    assert_eq!(line, "CAMLENS_API_KEYS must be a file, not ''");
    let line = load_error(None, &[("CAMLENS_QUEU", "1")]);
    assert!(
        line.starts_with("CAMLENS_QUEU: unknown setting; the settings are CAMLENS_LISTEN, "),
        "{line}"
    );
}

#[test]
fn the_platforms_variables_count_less_than_camlens_s_own() {
    let listen = |pairs: &[(&str, &str)]| {
        let file = (Path::new("f"), "[server]\nlisten = \"127.0.0.1:1\"\n");
        Config::load(Some(file), environment(pairs)).unwrap().server.listen.to_string()
    };
    assert_eq!(listen(&[]), "127.0.0.1:1");
    assert_eq!(listen(&[("AIP_HTTP_PORT", "7080")]), "0.0.0.0:7080");
    assert_eq!(listen(&[("SAGEMAKER_BIND_TO_PORT", "8085")]), "0.0.0.0:8085");
    let both = [("AIP_HTTP_PORT", "7080"), ("CAMLENS_LISTEN", "127.0.0.1:2")];
    assert_eq!(listen(&both), "127.0.0.1:2");
    for (name, value) in [
        ("AIP_HTTP_PORT", "http"),
        ("SAGEMAKER_BIND_TO_PORT", "0"),
        ("AIP_PREDICT_ROUTE", "predict"),
        ("AIP_HEALTH_ROUTE", "/{all}"),
        ("AIP_HEALTH_ROUTE", "/a/:b"),
    ] {
        let line = load_error(None, &[(name, value)]);
        assert!(line.starts_with(name) && line.ends_with(&format!("'{value}'")), "{line}");
    }
}

#[test]
fn variables_of_kubernetes_and_of_the_browser_tests_are_ignored() {
    let pairs = environment(&[
        ("CAMLENS_PORT", "tcp://10.0.0.1:8080"),
        ("CAMLENS_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("CAMLENS_SERVICE_HOST", "10.0.0.1"),
        ("CAMLENS_URL", "http://127.0.0.1:1"),
    ]);
    assert_eq!(Config::load(None, pairs).unwrap(), Config::default());
}
