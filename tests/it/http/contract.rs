//! `openapi.yaml` and the code agree.

use std::collections::BTreeSet;

use camlens::app::Operation;
use camlens::app::options::{DefaultValue, OptionSpec, OptionValues, RawValue, ValueSyntax};
use camlens::app::options::{accepted, find};
use camlens::error::Kind;
use camlens::http::problem::{TYPE_PREFIX, problem_type};
use camlens::warning::WarningCode;

use super::*;

fn contract() -> Value {
    serde_norway::from_str(&std::fs::read_to_string(repository("openapi.yaml")).unwrap()).unwrap()
}

fn set<T: Ord>(items: impl IntoIterator<Item = T>) -> BTreeSet<T> {
    items.into_iter().collect()
}

fn texts(list: &Value) -> BTreeSet<&str> {
    set(list.as_array().unwrap().iter().map(|item| item.as_str().unwrap()))
}

#[test]
fn every_path_of_the_router_is_described_except_the_page_s_files() {
    let contract = contract();
    let described = set(contract["paths"].as_object().unwrap().keys().cloned());
    let guide = ["/docs/guide", "/docs/guide/", "/docs/guide/{*path}"];
    let page = ["/assets/{*path}", "/favicon.ico", "/samples", "/samples/{file}"];
    let own = set(guide.into_iter().chain(page).map(str::to_owned));
    assert_eq!(set(camlens::http::paths()), described.union(&own).cloned().collect());
}

/// The operations with their paths and the starts of their schemas' names.
const OPERATIONS: [(Operation, &str, &str); 3] = [
    (Operation::Explain, "/v1/explain", "Explain"),
    (Operation::Compare, "/v1/compare", "Compare"),
    (Operation::Predict, "/v1/predict", "Predict"),
];

/// The schemas of an operation's JSON body and form.
fn bodies<'a>(contract: &'a Value, operation: &str) -> (&'a Value, &'a Value) {
    let schemas = &contract["components"]["schemas"];
    (&schemas[format!("{operation}Json")], &schemas[format!("{operation}Form")])
}

/// The component behind a `$ref` with the members beside the reference, or the value itself.
fn resolve(contract: &Value, value: &Value) -> Value {
    let Some(reference) = value["$ref"].as_str() else { return value.clone() };
    let mut found = contract.pointer(reference.trim_start_matches('#')).unwrap().clone();
    let beside = value.as_object().unwrap().iter().filter(|(name, _)| *name != "$ref");
    for (name, member) in beside {
        found[name] = member.clone();
    }
    found
}

/// The query parameters of an operation.
fn parameters(contract: &Value, path: &str) -> Vec<Value> {
    let list = contract["paths"][path]["post"]["parameters"].as_array().unwrap();
    let resolved = list.iter().map(|parameter| resolve(contract, parameter));
    resolved.filter(|parameter| parameter["in"] == "query").collect()
}

#[test]
fn every_operation_accepts_the_options_that_are_described() {
    let contract = contract();
    for (operation, path, title) in OPERATIONS {
        let names = set(accepted(operation).map(|spec| spec.name));
        let (json, form) = bodies(&contract, title);
        let mut members = set(json["properties"].as_object().unwrap().keys().map(String::as_str));
        assert!(members.remove("image"), "{title}");
        assert_eq!(names, members, "{title}");
        for form in [form, &contract["components"]["schemas"][format!("TorchServe{title}Form")]] {
            // There is no comparison in TorchServe.
            let Some(patterns) = form["patternProperties"].as_object() else { continue };
            let fields = patterns.keys().map(|pattern| pattern.trim_matches(['^', '$']));
            assert_eq!(names, set(fields), "{title}");
        }
        let parameters = parameters(&contract, path);
        let described = parameters.iter().map(|parameter| parameter["name"].as_str().unwrap());
        assert_eq!(names, set(described), "{path}");
    }
}

/// The row of the table, against the parameter and its schema.
#[test]
fn every_option_is_described_with_its_text_values_and_default() {
    let contract = contract();
    for (operation, path, title) in OPERATIONS {
        let (json, form) = bodies(&contract, title);
        for parameter in parameters(&contract, path) {
            let name = parameter["name"].as_str().unwrap();
            let spec = find(operation, name).unwrap();
            let description = parameter["description"].as_str().unwrap();
            assert_eq!(description.trim_end(), spec.description, "{path} {name}");
            let schema = resolve(&contract, &parameter["schema"]);
            syntax_matches(spec, operation, &schema);
            default_matches(spec, &schema);
            // A field of a form is a text, as a value in the query is.
            let field = &form["patternProperties"][format!("^{name}$")];
            assert_eq!(resolve(&contract, field), schema, "{title} {name}");
            // A member of JSON has the same schema, but a list of names may be a list there, and a
            // class a number.
            let member = resolve(&contract, &json["properties"][name]);
            match spec.syntax {
                ValueSyntax::List { .. } | ValueSyntax::ChoiceList(_) | ValueSyntax::Text => {
                    member_matches(spec, operation, &member);
                }
                // A generator loses the default of a choice whose names it is given.
                ValueSyntax::Choice(_) => assert_eq!(member["enum"], schema["enum"], "{name}"),
                _ => assert_eq!(member, schema, "{title} {name}"),
            }
        }
    }
}

fn syntax_matches(spec: &OptionSpec, operation: Operation, schema: &Value) {
    let name = spec.name;
    let is_valid =
        |text: &str| spec.parse(RawValue { text, operation }, &mut OptionValues::default()).is_ok();
    match spec.syntax {
        // Clients write a list into a query in different ways, and a text in one.
        ValueSyntax::Text | ValueSyntax::List { .. } | ValueSyntax::ChoiceList(_) => {
            assert_eq!(schema["type"], "string", "{name}");
        }
        ValueSyntax::Choice(names) => {
            // The schema lists aliases, too.
            let described = texts(&schema["enum"]);
            assert!(set(names(operation)).is_subset(&described), "{name}");
            assert!(described.iter().all(|text| is_valid(text)), "{name}");
            assert!(name == "method" || described.len() == names(operation).len(), "{name}");
        }
        ValueSyntax::Boolean => assert_eq!(schema["type"], "boolean", "{name}"),
        ValueSyntax::Integer { min, max } => {
            let bounds = (&schema["type"], schema["minimum"].as_u64(), schema["maximum"].as_u64());
            assert_eq!(bounds, (&"integer".into(), Some(min), max), "{name}");
        }
        ValueSyntax::Number { min, max, is_exclusive } => {
            let keys = if is_exclusive {
                ["exclusiveMinimum", "exclusiveMaximum"]
            } else {
                ["minimum", "maximum"]
            };
            let bounds = keys.map(|key| schema[key].as_f64());
            assert_eq!(bounds, [Some(min.into()), Some(max.into())], "{name}");
        }
    }
}

/// A member of JSON whose value may be something else than a text.
fn member_matches(spec: &OptionSpec, operation: Operation, member: &Value) {
    let (name, kind) = (spec.name, &member["type"]);
    let is_one = matches!(
        spec.syntax, ValueSyntax::List { max_items } if max_items(operation) == 1
    );
    if !spec.syntax.is_list() || is_one {
        let is_text = kind == "string" || kind[1] == "string";
        assert!(is_text, "{name}");
        return;
    }
    let forms = member["oneOf"].as_array().unwrap();
    let list = forms.iter().find(|form| form["type"] == "array").unwrap();
    if let ValueSyntax::List { max_items } = spec.syntax {
        assert_eq!(list["maxItems"], max_items(operation), "{name}");
    }
    assert!(forms.iter().any(|form| form["type"] == "string"), "{name}");
}

fn default_matches(spec: &OptionSpec, schema: &Value) {
    let text = |value: &Value| match value {
        Value::Array(items) => {
            items.iter().map(|item| item.as_str().unwrap()).collect::<Vec<_>>().join(",")
        }
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let described = schema.get("default").map(text);
    let usual = spec.default.value(&OptionValues::default()).map(str::to_owned);
    match spec.default {
        DefaultValue::Value(_) => assert_eq!(described, usual, "{}", spec.name),
        DefaultValue::Computed { .. } => {
            assert!(described.is_none() || described == usual, "{}", spec.name);
        }
        DefaultValue::Decided(_) | DefaultValue::None => {
            assert_eq!(described, None, "{}", spec.name);
        }
    }
}

#[test]
fn every_method_is_described_in_responses() {
    let contract = contract();
    let methods = &contract["components"]["schemas"]["MethodName"]["enum"];
    let spec = find(Operation::Explain, "method").unwrap();
    let ValueSyntax::Choice(names) = spec.syntax else { panic!("{spec:?}") };
    assert_eq!(texts(methods), set(names(Operation::Explain)));
}

#[test]
fn every_problem_is_described_with_its_status_and_title() {
    let contract = contract();
    let examples = contract["components"]["examples"].as_object().unwrap();
    let slugs = set(Kind::ALL.iter().map(|kind| format!("problem-{}", problem_type(*kind).slug)));
    assert_eq!(slugs, set(examples.keys().cloned()));
    for kind in Kind::ALL {
        let problem = problem_type(kind);
        let example = &examples[&format!("problem-{}", problem.slug)]["value"];
        assert_eq!(example["type"], format!("{TYPE_PREFIX}{}", problem.slug));
        assert_eq!(example["status"], problem.status.as_u16());
        assert_eq!(example["title"], problem.title);
    }
}

/// Checks a body against a schema of the contract.
pub(super) fn matches_schema(schema: &str, body: &Value) {
    let mut root = contract();
    root["$ref"] = format!("#/components/schemas/{schema}").into();
    let validator = jsonschema::draft202012::new(&root).unwrap();
    let errors: Vec<String> = validator
        .iter_errors(body)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{schema}: {errors:?}");
}

#[test]
fn every_warning_is_described() {
    let contract = contract();
    let code = &contract["components"]["schemas"]["Warning"]["properties"]["code"];
    assert_eq!(texts(&code["enum"]), set(WarningCode::ALL.map(WarningCode::name)));
    for name in WarningCode::ALL.map(WarningCode::name) {
        assert!(code["description"].as_str().unwrap().contains(&format!("- `{name}`: ")), "{name}");
    }
}

/// The responses of a real service, validated against their schemas.
#[tokio::test]
async fn responses_match_their_schemas() {
    let service = service();
    let check = matches_schema;
    check("Explanation", &post_image(&service, "/v1/explain?output=json", chelsea()).await.json());
    let signed = "/v1/explain?output=json&method=gradcam&signed=true";
    check("Explanation", &post_image(&service, signed, chelsea()).await.json());
    let two = "/v1/explain?output=json&target=2,5&contrast=1";
    check("Explanations", &post_image(&service, two, chelsea()).await.json());
    check("Comparison", &post_image(&service, "/v1/compare?output=json", chelsea()).await.json());
    check("PredictResponse", &post_image(&service, "/v1/predict", chelsea()).await.json());
    check("ModelList", &get(&service, "/v1/models").await.json());
    check("Model", &get(&service, "/v1/models/tiny").await.json());
    check("Model", &get(&service, "/v1/models/cropped").await.json());
    check("Live", &get(&service, "/health/live").await.json());
    check("Ready", &get(&service, "/health/ready").await.json());
    check("Problem", &get(&service, "/nowhere").await.json());
    for (event, data) in super::stream::a_score_cam().await {
        match event.as_str() {
            "progress" => check("StreamProgress", &data),
            "partial" => check("StreamPartial", &data),
            "result" => check("Explanation", &data),
            _ => assert_eq!((event.as_str(), data), ("started", serde_json::json!({}))),
        }
    }
    check("Problem", &post_image(&service, "/v1/explain?metod=x", chelsea()).await.json());
}

#[tokio::test]
async fn the_served_json_equals_the_yaml() {
    let service = service();
    assert_eq!(get(&service, "/openapi.json").await.json(), contract());
    let yaml = std::fs::read(repository("openapi.yaml")).unwrap();
    assert_eq!(get(&service, "/openapi.yaml").await.body, yaml);
}
