//! Formats, resolution, columns and metadata of pictures and figures.

use std::collections::BTreeMap;
use std::io::Cursor;

use camlens::picture::figure::svg::NAMESPACE;

use super::*;

/// `named`: the tiny VGG16 with labels in many scripts.
fn named() -> Router {
    static MODELS: OnceLock<ModelRegistry> = OnceLock::new();
    let load = || {
        let folder = tempfile::tempdir().unwrap().keep();
        let labels = "Egyptian cat\nエジプト猫\n埃及猫\nقطة مصرية\nחתול מצרי\n🐈 cat\n";
        model(&folder, "named", &onnx("tinyvgg-torchscript"), "", labels);
        start(&folder, "named")
    };
    service_with(MODELS.get_or_init(load).clone(), Server::default()).0
}

/// Posts the image with an `Accept`.
async fn accepting(service: &Router, path: &str, accept: &str) -> Answered {
    let mut request = post(path, "application/octet-stream", chelsea());
    request.headers_mut().insert("accept", accept.parse().unwrap());
    send(service, request).await
}

/// The texts of a PNG.
fn texts(png: &[u8]) -> BTreeMap<String, String> {
    let reader = png::Decoder::new(Cursor::new(png)).read_info().unwrap();
    let info = reader.info();
    let latin1 = info.uncompressed_latin1_text.iter().map(|c| (c.keyword.clone(), c.text.clone()));
    let utf8 = info.utf8_text.iter().map(|c| (c.keyword.clone(), c.get_text().unwrap()));
    latin1.chain(utf8).collect()
}

/// The number of the figure's own panels, and its width, in points.
fn panels(svg: &[u8]) -> (usize, f32) {
    let text = std::str::from_utf8(svg).unwrap();
    let document = roxmltree::Document::parse(text).unwrap();
    let is_image = |node: &roxmltree::Node<'_, '_>| node.tag_name().name() == "image";
    // One of them is the colour bar.
    let images = document.descendants().filter(is_image).count();
    let width = document.root_element().attribute("width").unwrap();
    (images - 1, width.trim_end_matches("pt").parse().unwrap())
}

#[tokio::test]
async fn a_picture_has_the_format_that_is_asked_for() {
    let service = service();
    for (format, media_type) in
        [("png", "image/png"), ("jpeg", "image/jpeg"), ("webp", "image/webp")]
    {
        for path in ["explain?", "explain?output=gray&", "explain?target=1,2&", "compare?"] {
            let path = format!("/v1/{path}format={format}");
            let answered = post_image(&service, &path, chelsea()).await;
            assert_eq!(answered.header("content-type"), media_type, "{path}");
            let decoded = image::load_from_memory(&answered.body).unwrap();
            assert!(decoded.width() >= 151, "{path}");
        }
        let accepted = accepting(&service, "/v1/explain", media_type).await;
        assert_eq!(accepted.header("content-type"), media_type);
        let path = "/v1/explain?output=json";
        assert_eq!(
            accepting(&service, path, media_type).await.header("content-type"),
            "application/json"
        );
    }
    let svg = accepting(&service, "/v1/compare?methods=gradcam", "image/svg+xml").await;
    assert_eq!(svg.header("content-type"), "image/svg+xml");
    assert_eq!(
        accepting(&service, "/v1/explain", "image/svg+xml").await.header("content-type"),
        "image/png"
    );
    let named = accepting(&service, "/v1/explain?format=webp", "image/jpeg").await;
    assert_eq!(named.header("content-type"), "image/webp");
    // Other systems' paths negotiate alike.
    let other = accepting(&service, "/explanations/tiny", "image/jpeg").await;
    assert_eq!(other.header("content-type"), "image/jpeg");
}

#[tokio::test]
async fn a_picture_tells_how_it_was_made() {
    let service = named();
    let path = "/v1/explain?method=gradcam&target=1&colormap=turbo";
    let answered = post_image(&service, path, chelsea()).await;
    let texts = texts(&answered.body);
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(texts["Software"], format!("camlens {version}"));
    assert_eq!(texts["Title"], "エジプト猫: Grad-CAM");
    assert_eq!(texts["camlens-label"], "エジプト猫");
    assert_eq!(texts["camlens-convention"], "paper");
    assert_eq!(texts["camlens-normalize"], "max");
    assert!(!texts.contains_key("camlens-seed"));
    for name in ["camlens-model", "camlens-method", "camlens-layer", "camlens-target"] {
        assert_eq!(texts[name], answered.header(name), "{name}");
    }
    assert_eq!(texts["camlens-probability"], answered.header("camlens-probability"));
    let seeded = post_image(&service, "/v1/explain?method=random&seed=7", chelsea()).await;
    assert_eq!(self::texts(&seeded.body)["camlens-seed"], "7");

    let figure =
        post_image(&service, "/v1/compare?dpi=300&methods=gradcam,layercam", chelsea()).await;
    let texts = self::texts(&figure.body);
    assert_eq!(texts["camlens-method"], "gradcam,layercam");
    let reader = png::Decoder::new(Cursor::new(&figure.body[..])).read_info().unwrap();
    assert_eq!(reader.info().pixel_dims.unwrap().xppu, 11811);

    let classes = post_image(&service, "/v1/explain?target=0,1&format=svg", chelsea()).await;
    let text = std::str::from_utf8(&classes.body).unwrap();
    let document = roxmltree::Document::parse(text).unwrap();
    let entry = |name: &str| {
        let found = document.descendants().find(|node| node.has_tag_name((NAMESPACE, name)));
        found.and_then(|node| node.text()).unwrap_or_default().to_owned()
    };
    assert_eq!(entry("camlens-label"), "Egyptian cat,エジプト猫");
    assert_eq!(entry("camlens-target"), classes.header("camlens-target"));
    assert_eq!(entry("camlens-probability"), classes.header("camlens-probability"));
}

#[tokio::test]
async fn the_title_shows_any_script_and_names_what_it_can_t() {
    let service = named();
    for (class, label) in [(0, "Egyptian cat"), (2, "埃及猫"), (3, "قطة مصرية"), (4, "חתול מצרי")]
    {
        let path = format!("/v1/compare?format=svg&methods=gradcam&target={class}");
        let answered = post_image(&service, &path, chelsea()).await;
        let codes = answered.header("camlens-warnings");
        assert!(!codes.contains("glyphs-missing"), "{label} {codes}");
        let text = std::str::from_utf8(&answered.body).unwrap();
        let document = roxmltree::Document::parse(text).unwrap();
        let labels: Vec<_> =
            document.descendants().filter_map(|node| node.attribute("aria-label")).collect();
        assert!(labels.contains(&label), "{labels:?}");
    }
    let path = "/v1/compare?methods=gradcam&target=5";
    let answered = post_image(&service, path, chelsea()).await;
    assert!(answered.header("camlens-warnings").contains("glyphs-missing"));
    // A map has no text.
    let answered = post_image(&service, "/v1/explain?target=5", chelsea()).await;
    assert!(!answered.header("camlens-warnings").contains("glyphs-missing"));
}

#[tokio::test]
async fn panels_wrap_and_the_input_is_drawn_once_but_for_the_article() {
    let service = service();
    let figure = async |options: &str| {
        let path = format!("/v1/compare?format=svg&methods=gradcam,gradcampp,scorecam&{options}");
        panels(&post_image(&service, &path, chelsea()).await.body)
    };
    let (usual, four_columns) = figure("").await;
    assert_eq!(usual, 7);
    assert_eq!(figure("convention=article").await, (8, four_columns));
    let (wrapped, two_columns) = figure("columns=2").await;
    assert_eq!(wrapped, 7);
    assert!((four_columns - two_columns - 2.0 * 154.0).abs() < 0.01);
}

#[tokio::test]
async fn options_without_effect_are_refused_by_name() {
    let service = service();
    let refusal = async |path: &str| {
        let answered = post_image(&service, path, chelsea()).await;
        assert_eq!(answered.status, 400, "{path}");
        let problem = answered.json();
        format!("{}: {}", problem["option"].as_str().unwrap(), problem["detail"].as_str().unwrap())
    };
    insta::assert_snapshot!(refusal("/v1/compare?output=json&dpi=72").await, @"dpi: option 'dpi' has no effect with output=json; it is for pictures");
    insta::assert_snapshot!(refusal("/v1/explain?output=npy&format=png").await, @"format: option 'format' has no effect with output=npy; it is for pictures");
    insta::assert_snapshot!(refusal("/v1/explain?columns=2").await, @"columns: option 'columns' has no effect here; it is for figures, of several methods or of several classes");
    insta::assert_snapshot!(refusal("/v1/explain?dpi=72").await, @"dpi: option 'dpi' has no effect here; it is for figures, of several methods or of several classes");
    insta::assert_snapshot!(refusal("/v1/explain?format=svg").await, @"format: option 'format' can't be 'svg' here; a single map is a picture of pixels, and svg is for figures, of several methods or of several classes");
    insta::assert_snapshot!(refusal("/v1/compare?dpi=601").await, @"dpi: option 'dpi' can't be '601'; it takes a whole number from 30 to 600");
    insta::assert_snapshot!(refusal("/v1/compare?columns=0").await, @"columns: option 'columns' can't be '0'; it takes a whole number from 1 to 30");
    insta::assert_snapshot!(refusal("/v1/compare?format=gif").await, @"format: option 'format' can't be 'gif'; it takes png, jpeg, webp, svg");
    insta::assert_snapshot!(refusal("/v1/predict?format=png").await, @"format: there is no option 'format' here; options are model, top_k");
    let tall = "/v1/compare?format=webp&dpi=600&columns=1&methods=gradcam,gradcampp,scorecam,layercam,hirescam,xgradcam,eigencam,random";
    insta::assert_snapshot!(refusal(tall).await, @"dpi: the picture can be 2017 × 24642 pixels here, and a webp file has at most 16383 a side; png, or a lower dpi or more columns, would do");
    still_answers(&service).await;
}

#[tokio::test]
async fn a_wide_picture_that_webp_can_t_hold_is_refused() {
    let wide = image::RgbImage::new(16_384, 2);
    let picture = camlens::picture::encode::png(&wide, &Default::default()).unwrap();
    let refused = post_image(&service(), "/v1/explain?format=webp", picture.clone()).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["option"]), (400, &"format".into()));
    let png = post_image(&service(), "/v1/explain?format=jpeg", picture).await;
    assert_eq!(png.status, 200);
}
