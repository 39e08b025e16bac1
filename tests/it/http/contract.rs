//! `openapi.yaml` and the code say the same.

use std::collections::{BTreeMap, BTreeSet};

use camlens::error::Kind;
use camlens::explain::{Choice, Convention, Method, Normalization, ScoreKind};
use camlens::http::options::{Endpoint, OPTIONS, Output, Size};
use camlens::http::problem::TYPE_PREFIX;
use camlens::picture::colormap::Colormap;
use camlens::picture::overlay::Blend;

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
fn every_path_of_the_router_is_described_but_the_page_s_own_files() {
    let contract = contract();
    let described = set(contract["paths"].as_object().unwrap().keys().map(String::as_str));
    let own = set(["/assets/{*path}", "/favicon.ico"]);
    assert_eq!(set(camlens::http::paths()), described.union(&own).copied().collect());
}

#[test]
fn every_endpoint_takes_the_options_that_are_described() {
    let contract = contract();
    for (endpoint, path, schema) in [
        (Endpoint::Explain, "/v1/explain", "ExplainOptions"),
        (Endpoint::Compare, "/v1/compare", "CompareOptions"),
        (Endpoint::Predict, "/v1/predict", "PredictOptions"),
    ] {
        let taken = set(OPTIONS
            .iter()
            .filter(|option| option.of.contains(&endpoint))
            .map(|option| option.name));
        let members = contract["components"]["schemas"][schema]["properties"].as_object().unwrap();
        assert_eq!(taken, set(members.keys().map(String::as_str)), "{schema}");
        let parameters = contract["paths"][path]["post"]["parameters"].as_array().unwrap();
        let named = parameters.iter().map(|parameter| {
            let key = parameter["$ref"].as_str().unwrap().rsplit('/').next().unwrap();
            contract["components"]["parameters"][key]["name"].as_str().unwrap()
        });
        let named = set(named.filter(|name| *name != "x-request-id"));
        assert_eq!(taken, named, "{path}");
    }
}

fn names<T: Choice>() -> BTreeSet<&'static str> {
    set(T::CHOICES.iter().map(|(name, _)| *name))
}

#[test]
fn every_value_of_an_option_is_described_and_so_is_the_default() {
    let contract = contract();
    let schemas = &contract["components"]["schemas"];
    let described = |schema: &str| texts(&schemas[schema]["enum"]);
    assert_eq!(described("Score"), names::<ScoreKind>());
    assert_eq!(described("Convention"), names::<Convention>());
    assert_eq!(described("Normalize"), names::<Normalization>());
    assert_eq!(described("Size"), names::<Size>());
    assert_eq!(described("Colormap"), names::<Colormap>());
    assert_eq!(described("Blend"), names::<Blend>());
    let forms = |endpoint| set(Output::of(endpoint).iter().map(|form| form.name()));
    assert_eq!(described("Output"), forms(Endpoint::Explain));
    assert_eq!(described("CompareOutput"), forms(Endpoint::Compare));
    for name in described("Method") {
        assert!(Method::from_name(name).is_some(), "{name}");
    }
    assert!(names::<Method>().is_subset(&described("Method")));
    let answers = &schemas["Explanation"]["properties"]["method"]["enum"];
    assert_eq!(texts(answers), names::<Method>());

    let first = |choices: &[&'static str]| choices[0];
    let defaults: BTreeMap<&str, Value> = BTreeMap::from([
        (
            "Method",
            first(&Method::CHOICES.iter().map(|(name, _)| *name).collect::<Vec<_>>()).into(),
        ),
        ("Convention", Convention::default().name().into()),
        ("Colormap", Colormap::default().name().into()),
        ("Blend", Blend::default().name().into()),
        ("TopK", 5.into()),
        ("Emphasize", false.into()),
        ("Negate", false.into()),
        ("Signed", false.into()),
        ("Seed", 0.into()),
    ]);
    for (schema, default) in defaults {
        assert_eq!(schemas[schema]["default"], default, "{schema}");
    }
    assert_eq!(texts(&schemas["Methods"]["default"]), set(Method::ARTICLE.map(Choice::name)));
}

#[test]
fn every_problem_is_described_with_its_status_and_title() {
    let contract = contract();
    let examples = contract["components"]["examples"].as_object().unwrap();
    let slugs = set(Kind::ALL.iter().map(|kind| format!("problem-{}", kind.row().slug)));
    assert_eq!(slugs, set(examples.keys().cloned()));
    for kind in Kind::ALL {
        let row = kind.row();
        let example = &examples[&format!("problem-{}", row.slug)]["value"];
        assert_eq!(example["type"], format!("{TYPE_PREFIX}{}", row.slug));
        assert_eq!(
            (&example["status"], &example["title"]),
            (&row.status.into(), &row.title.into())
        );
    }
}

/// The answers of a real service, held against the schemas that describe them.
#[tokio::test]
async fn answers_are_what_the_schemas_say() {
    let contract = contract();
    let service = service();
    let check = |schema: &str, body: &Value| {
        let mut root = contract.clone();
        root["$ref"] = format!("#/components/schemas/{schema}").into();
        let validator = jsonschema::draft202012::new(&root).unwrap();
        let errors: Vec<String> = validator
            .iter_errors(body)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{schema}: {errors:?}");
    };
    check("Explanation", &post_image(&service, "/v1/explain?output=json", chelsea()).await.json());
    let signed = "/v1/explain?output=json&method=gradcam&signed=true";
    check("Explanation", &post_image(&service, signed, chelsea()).await.json());
    let two = "/v1/explain?output=json&target=2,5&contrast=1";
    check("Explanations", &post_image(&service, two, chelsea()).await.json());
    check("Comparison", &post_image(&service, "/v1/compare?output=json", chelsea()).await.json());
    check("PredictAnswer", &post_image(&service, "/v1/predict", chelsea()).await.json());
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
async fn the_served_json_is_the_yaml() {
    let service = service();
    assert_eq!(get(&service, "/openapi.json").await.json(), contract());
    let yaml = std::fs::read(repository("openapi.yaml")).unwrap();
    assert_eq!(get(&service, "/openapi.yaml").await.body, yaml);
}
