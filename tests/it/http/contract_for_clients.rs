//! What generators of clients need from `openapi.yaml`. `make clients` runs four of them; these
//! rules are what broke their clients once, so that a change is told in seconds.

use std::collections::BTreeSet;

use super::*;

fn contract() -> Value {
    serde_norway::from_str(&std::fs::read_to_string(repository("openapi.yaml")).unwrap()).unwrap()
}

/// Every object in a document, with its path.
fn objects<'a>(value: &'a Value, path: &str, found: &mut Vec<(String, &'a Value)>) {
    match value {
        Value::Object(members) => {
            found.push((path.to_owned(), value));
            for (name, member) in members {
                objects(member, &format!("{path}/{name}"), found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                objects(item, &format!("{path}/{index}"), found);
            }
        }
        _ => {}
    }
}

/// The operations as `verb path` and operation.
fn operations(contract: &Value) -> Vec<(String, &Value)> {
    let paths = contract["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, verbs)| {
            let verbs = verbs.as_object().unwrap();
            verbs.iter().map(move |(verb, operation)| (format!("{verb} {path}"), operation))
        })
        .collect()
}

#[test]
fn schemas_have_forms_that_generators_know() {
    let contract = contract();
    let mut found = Vec::new();
    objects(&contract, "", &mut found);
    // Values of examples are no schemas.
    found.retain(|(path, _)| !path.contains("/example"));
    for (path, object) in found {
        // `const` becomes `any`, and a set cannot be written as JSON.
        for key in ["const", "uniqueItems", "unevaluatedProperties"] {
            assert!(object.get(key).is_none_or(Value::is_object), "{path} has {key}");
        }
        assert!(object["type"] != "array" || object.get("items").is_some(), "{path} has no items");
        // Two methods whose names differ in signs alone would be one name in Python.
        if let Some(names) = object.get("enum").and_then(Value::as_array)
            && names.contains(&"gradcam++".into())
        {
            let variables = object["x-enum-varnames"].as_array().expect(&path);
            assert_eq!(variables.len(), names.len(), "{path}");
            let distinct: BTreeSet<&str> = variables.iter().map(|v| v.as_str().unwrap()).collect();
            assert_eq!(distinct.len(), names.len(), "{path}");
        }
    }
}

/// The media types of a body or a response in the order of the document, which `serde_json` does
/// not keep.
fn media_types(document: &serde_norway::Value, place: &[&str]) -> Vec<String> {
    let content = place.iter().fold(document, |value, member| &value[*member]);
    let names = content["content"].as_mapping().into_iter().flat_map(serde_norway::Mapping::keys);
    names.map(|name| name.as_str().unwrap().to_owned()).collect()
}

/// A generator takes the first media type that it can write.
#[test]
fn a_form_is_the_first_body_and_json_the_first_response() {
    let text = std::fs::read_to_string(repository("openapi.yaml")).unwrap();
    let document: serde_norway::Value = serde_norway::from_str(&text).unwrap();
    let contract = contract();
    for (name, operation) in operations(&contract) {
        let (verb, path) = name.split_once(' ').unwrap();
        let bodies = media_types(&document, &["paths", path, verb, "requestBody"]);
        let form = bodies.iter().position(|name| name == "multipart/form-data");
        assert!(form.is_none_or(|place| place == 0), "{name}: {bodies:?}");
        for status in operation["responses"].as_object().unwrap().keys() {
            let place = ["paths", path, verb, "responses", status.as_str()];
            let types = media_types(&document, &place);
            let json = types.iter().position(|name| name == "application/json");
            assert!(json.is_none_or(|place| place == 0), "{name} {status}: {types:?}");
        }
    }
}

#[test]
fn every_operation_has_a_name_and_typed_errors() {
    let contract = contract();
    let mut ids = BTreeSet::new();
    for (name, operation) in operations(&contract) {
        assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{name}");
        let responses = operation["responses"].as_object().unwrap();
        let is_error = |status: &&String| status.starts_with(['4', '5']);
        for status in responses.keys().filter(is_error) {
            let reference = responses[status]["$ref"].as_str().expect(&name);
            let response = contract.pointer(&reference[1..]).unwrap();
            let media = response["content"].as_object().unwrap();
            let typed = media.values().filter_map(|media| media["schema"]["$ref"].as_str());
            let known = ["Problem", "KserveError", "TorchServeError"]
                .map(|error| format!("#/components/schemas/{error}"));
            assert!(typed.into_iter().any(|schema| known.contains(&schema.to_owned())), "{name}");
        }
    }
}

#[test]
fn examples_match_their_schemas() {
    let contract = contract();
    let mut found = Vec::new();
    objects(&contract["paths"], "", &mut found);
    let mut checked = 0;
    for (path, media) in found {
        let (Some(schema), Some(examples)) = (media.get("schema"), media.get("examples")) else {
            continue;
        };
        let mut root = contract.clone();
        root["allOf"] = Value::Array(vec![schema.clone()]);
        let validator = jsonschema::draft202012::new(&root).unwrap();
        for (name, example) in examples.as_object().into_iter().flatten() {
            let Some(value) = example.get("value") else { continue };
            let errors: Vec<String> = validator
                .iter_errors(value)
                .map(|error| format!("{}: {error}", error.instance_path()))
                .collect();
            assert!(errors.is_empty(), "{path} {name}: {errors:?}");
            checked += 1;
        }
    }
    assert!(checked > 10, "{checked}");
}
