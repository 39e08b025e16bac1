//! Forms and other bodies as strangers' clients send them: names are checked before values, a part
//! is named by the grammar of its header, and what cannot be read is refused by its own name.

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use base64::Engine;
use serde_json::json;

use super::*;

const FILE: &str = "Content-Disposition: form-data; name=\"image\"; filename=\"cat.png\"";

/// A form of parts, each a head and a body.
pub(super) fn parts(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut form = Vec::new();
    for (head, body) in parts {
        form.extend_from_slice(format!("--{BOUNDARY}\r\n{head}\r\n\r\n").as_bytes());
        form.extend_from_slice(body);
        form.extend_from_slice(b"\r\n");
    }
    form.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    form
}

async fn post_raw(content_type: &str, body: impl Into<Body>) -> Answered {
    send(&service(), post("/v1/predict", content_type, body)).await
}

async fn post_parts(of: &[(&str, &[u8])]) -> Answered {
    post_raw(&format!("multipart/form-data; boundary={BOUNDARY}"), parts(of)).await
}

/// The status, the option at fault and the reason.
fn reason(answered: &Answered) -> String {
    let problem = answered.json();
    let detail = problem["detail"].as_str().unwrap();
    match problem["option"].as_str() {
        Some(option) => format!("{} {option}: {detail}", answered.status.as_u16()),
        None => format!("{} {detail}", answered.status.as_u16()),
    }
}

/// The number of predictions for a form whose image has this head, before an option `top_k` of 3.
async fn predicts(head: &str) -> usize {
    let option = "Content-Disposition: form-data; name=\"top_k\"";
    let answered = post_parts(&[(head, &chelsea()), (option, b"3")]).await;
    assert_eq!(answered.status, StatusCode::OK, "{head}: {:?}", answered.body);
    answered.json()["predictions"].as_array().unwrap().len()
}

async fn refuses(head: &str) -> String {
    reason(&post_parts(&[(head, &chelsea())]).await)
}

#[tokio::test]
async fn a_file_in_a_field_of_another_name_is_told_the_right_one() {
    let head = "Content-Disposition: form-data; name=\"file\"; filename=\"cat.png\"";
    insta::assert_snapshot!(refuses(head).await, @"400 file: there is no option 'file' here; the image is the field 'image', and options are model, top_k");
    // Names come before all values: this option's text is no number.
    let option = "Content-Disposition: form-data; name=\"top_k\"";
    let both = post_parts(&[(option, b"\xff\xfe"), (head, &chelsea())]).await;
    assert!(reason(&both).starts_with("400 file: there is no option 'file' here"));
    let body = json!({"instances": [{"b64": "aGk="}]}).to_string();
    insta::assert_snapshot!(reason(&post_raw("application/json", body).await), @"400 instances: there is no option 'instances' here; the image is the member 'image', and options are model, top_k");
    let body = json!({"image": "not base64!", "inputs": []}).to_string();
    assert!(reason(&post_raw("application/json", body).await).starts_with("400 inputs: "));
}

#[tokio::test]
async fn a_file_s_name_names_no_field() {
    for head in [
        "Content-Disposition: form-data; filename=\"my name=model.png\"; name=\"image\"",
        "Content-Disposition: form-data; filename=\"a; name=top_k;.png\"; name=\"image\"",
        "content-disposition: Form-Data;name=image;filename=a b.png",
        "Content-Disposition: form-data; filename=\"a\\\"; name=\\\"model.png\"; name=\"image\"",
        "Content-Disposition: form-data; name=\"image\"; filename*=UTF-8''name%3Dmodel",
        "Content-Disposition: form-data; name=\"image\"; filename=\"\u{732b}.png\"",
        "Content-Type: image/png\r\nContent-Disposition: form-data; name=\"image\"",
        "Content-Disposition: form-data; name=\"image\"\r\nContent-Transfer-Encoding: binary",
    ] {
        assert_eq!(predicts(head).await, 3, "{head}");
    }
    // The case from the field: the text is the image, and no option.
    let head = "Content-Disposition: form-data; filename=\"a; name=top_k;.png\"; name=\"image\"";
    let answered = post_parts(&[(head, b"3")]).await;
    insta::assert_snapshot!(reason(&answered), @"415 This is text. PNG, JPEG, WebP, GIF, BMP and TIFF are accepted.");
}

#[tokio::test]
async fn a_part_without_one_clear_name_is_refused() {
    insta::assert_snapshot!(refuses("Content-Disposition: form-data; filename=\"a.png\"").await, @"400 a field of the form has no name");
    insta::assert_snapshot!(refuses("Content-Disposition: form-data; name=\"\"").await, @"400 a field of the form has no name");
    insta::assert_snapshot!(refuses("Content-Disposition: form-data; name*=UTF-8''image").await, @"400 a field of the form has no name");
    insta::assert_snapshot!(refuses("Content-Type: image/png").await, @"400 a field of the form has no Content-Disposition");
    insta::assert_snapshot!(refuses("Content-Disposition: attachment; name=\"image\"").await, @"400 Content-Disposition is 'attachment', not form-data");
    insta::assert_snapshot!(refuses("Content-Disposition: form-data; name=image; name=top_k").await, @"400 Content-Disposition: the parameter 'name' is given twice");
    insta::assert_snapshot!(refuses("Content-Disposition: form-data; name=\"image").await, @"400 Content-Disposition: a quoted value does not end");
    insta::assert_snapshot!(refuses("Content-Disposition: form-data; filename=\"a\"b\"; name=\"image\"").await, @r#"400 Content-Disposition: something other than ';' follows a quoted value; a quote inside it is \" or %22"#);
    insta::assert_snapshot!(refuses("Content-Disposition: form-data; name=\"a%22b\"").await, @r#"400 a"b: there is no option 'a"b' here; the image is the field 'image', and options are model, top_k"#);
    insta::assert_snapshot!(refuses(&format!("{FILE}\r\nContent-Transfer-Encoding: base64")).await, @"400 Content-Transfer-Encoding 'base64' is not accepted; send the bytes themselves");
}

#[tokio::test]
async fn the_boundary_is_read_as_the_header_is_written() {
    let option = "Content-Disposition: form-data; name=\"top_k\"";
    let image = chelsea();
    let form = parts(&[(FILE, &image), (option, b"2")]);
    for content_type in [
        format!("multipart/form-data; boundary=\"{BOUNDARY}\""),
        format!("Multipart/Form-Data; charset=utf-8; Boundary={BOUNDARY}"),
        format!("multipart/form-data;boundary={BOUNDARY};"),
        format!("multipart/form-data; comment=\"boundary=x\"; boundary={BOUNDARY}"),
    ] {
        let answered = post_raw(&content_type, form.clone()).await;
        assert_eq!(answered.status, StatusCode::OK, "{content_type}: {:?}", answered.body);
        assert_eq!(answered.json()["predictions"].as_array().unwrap().len(), 2);
    }
    let of_all = format!("multipart/form-data; boundary={BOUNDARY}");
    let framed = [b"A preamble.\r\n", form.as_slice(), b"An epilogue.\r\n"].concat();
    assert_eq!(post_raw(&of_all, framed).await.status, StatusCode::OK);

    for content_type in ["multipart/form-data", "multipart/form-data; boundary=\"\""] {
        assert!(
            reason(&post_raw(content_type, form.clone()).await)
                .starts_with("400 Content-Type: multipart/form-data has no boundary")
        );
    }
    let twice = format!("{of_all}; boundary=other");
    insta::assert_snapshot!(reason(&post_raw(&twice, form.clone()).await), @"400 Content-Type: the parameter 'boundary' is given twice");
    let other = post_raw("multipart/form-data; boundary=other", form.clone()).await;
    insta::assert_snapshot!(reason(&other), @"400 the form could not be read: it has no line '--other', which the boundary in Content-Type asks for; it starts with '--a-line-between'");
    let no_form = post_raw(&of_all, image.clone()).await;
    insta::assert_snapshot!(reason(&no_form), @"400 the form could not be read: it has no line '--a-line-between', which the boundary in Content-Type asks for");
    insta::assert_snapshot!(reason(&post_raw(&of_all, "").await), @"400 the form could not be read: it is empty (0 bytes)");
    for cut in [form.len() - 4, form.len() / 2] {
        let cut = post_raw(&of_all, form[..cut].to_vec()).await;
        insta::allow_duplicates! {
            insta::assert_snapshot!(reason(&cut), @"400 the form could not be read: its last line '--a-line-between--' is missing, so it was cut off or not ended");
        }
    }
    let bare = format!("--{BOUNDARY}\n{FILE}\n\nx\n--{BOUNDARY}--\n");
    insta::assert_snapshot!(reason(&post_raw(&of_all, bare).await), @"400 the form could not be read: its lines must end in CR LF");
}

#[tokio::test]
async fn a_header_that_is_there_twice_is_refused() {
    let other = "content-disposition : form-data; name=\"top_k\"";
    insta::assert_snapshot!(refuses(&format!("{FILE}\r\n{other}")).await, @"400 a field of the form has Content-Disposition twice; send one");
    insta::assert_snapshot!(refuses(&format!("{other}\r\n{FILE}")).await, @"400 a field of the form has Content-Disposition twice; send one");
    let twice = "Content-Type: image/png\r\nContent-Type: text/plain";
    insta::assert_snapshot!(refuses(&format!("{FILE}\r\n{twice}")).await, @"400 a field of the form has Content-Type twice; send one");
    // The second part is searched as well, and a part's bytes are not.
    let second = format!("Content-Disposition: form-data; name=\"top_k\"\r\n{other}");
    let answered = post_parts(&[(FILE, &chelsea()), (&second, b"3")]).await;
    insta::assert_snapshot!(reason(&answered), @"400 a field of the form has Content-Disposition twice; send one");
    let nested = format!("x--{BOUNDARY}\r\n{FILE}\r\n{FILE}\r\n\r\nx");
    let answered = post_parts(&[(FILE, nested.as_bytes())]).await;
    insta::assert_snapshot!(reason(&answered), @"415 This is text. PNG, JPEG, WebP, GIF, BMP and TIFF are accepted.");

    let request = Request::post("/v1/predict")
        .header("content-type", "image/png")
        .header("content-type", format!("multipart/form-data; boundary={BOUNDARY}"));
    let answered = send(&service(), request.body(Body::from(chelsea())).unwrap()).await;
    insta::assert_snapshot!(reason(&answered), @"400 Content-Type: the request has this header twice; send one");
}

/// Every place that quotes what a client sent.
#[tokio::test]
async fn a_text_of_a_megabyte_is_not_sent_back() {
    let long = "ä".repeat(1 << 19);
    let quoted = |detail: &str| detail.matches('ä').count();
    let image = chelsea();
    let field = |name: &str| format!("Content-Disposition: form-data; name=\"{name}\"");
    let long_field = field(&long);
    let charset = format!("{}\r\nContent-Type: text/plain; charset=\"{long}\"", field("model"));
    let encoding = format!("{FILE}\r\nContent-Transfer-Encoding: {long}");
    let kind = format!("Content-Disposition: {long}; name=image");
    let parameter = format!("{FILE}; {long}");
    let repeated = format!("{FILE}; {long}=a; {long}=b");
    let (text, model, top_k) = (long.as_bytes(), field("model"), field("top_k"));
    let forms = [
        vec![(FILE, &image[..]), (model.as_str(), text)],
        vec![(FILE, &image), (top_k.as_str(), text)],
        vec![(long_field.as_str(), b"1")],
        vec![(charset.as_str(), b"1"), (FILE, &image)],
        vec![(encoding.as_str(), &image)],
        vec![(kind.as_str(), &image)],
        vec![(parameter.as_str(), &image)],
        vec![(repeated.as_str(), &image)],
    ];
    for form in forms {
        let answered = post_parts(&form).await;
        let problem = answered.json();
        let detail = problem["detail"].as_str().unwrap();
        assert_eq!(quoted(detail), 500, "{}", &detail[..detail.len().min(2000)]);
        assert!(detail.contains('…') && detail.chars().count() < 1200);
        let option = problem["option"].as_str().unwrap_or_default();
        assert!(option.chars().count() <= 501, "{} characters", option.len());
    }
    for body in
        [json!({"image": "", "model": long}), json!({ long.as_str(): 1, "image": "" }), json!(long)]
    {
        let answered = post_raw("application/json", body.to_string()).await;
        let problem = answered.json();
        assert!(quoted(problem["detail"].as_str().unwrap()) <= 500, "{}", answered.status);
    }
    let service = service();
    for query in ["target=", "layer=", "method=", "methods=gradcam,", "size=", "colormap="] {
        let path = if query.starts_with("methods") { "compare" } else { "explain" };
        let path = format!("/v1/{path}?{query}{}", "%C3%A4".repeat(5000));
        let answered = post_image(&service, &path, image.clone()).await;
        let problem = answered.json();
        assert_eq!(quoted(problem["detail"].as_str().unwrap()), 500, "{query}");
    }
    let answered = get(&service, &format!("/v1/{}", "a".repeat(9000))).await;
    let problem = answered.json();
    assert!(problem["detail"].as_str().unwrap().len() < 600, "{problem:#}");
    assert!(problem["instance"].as_str().unwrap().len() < 600, "{problem:#}");
}

#[tokio::test]
async fn parts_that_repeat_or_hold_nothing() {
    let option = "Content-Disposition: form-data; name=\"top_k\"";
    let image = chelsea();
    let same = post_parts(&[(option, b"2"), (FILE, &image), (option, b"2")]).await;
    assert_eq!(same.json()["predictions"].as_array().unwrap().len(), 2);
    let other = post_parts(&[(option, b"2"), (FILE, &image), (option, b"3")]).await;
    insta::assert_snapshot!(reason(&other), @"400 top_k: option 'top_k' is given twice, with different values; give one");
    let two = post_parts(&[(FILE, &image), (FILE, &image)]).await;
    insta::assert_snapshot!(reason(&two), @"400 image: the form has two images; send one");
    insta::assert_snapshot!(reason(&post_parts(&[(FILE, b"")]).await), @"415 The image is empty (0 bytes). PNG, JPEG, WebP, GIF, BMP and TIFF are accepted.");
    insta::assert_snapshot!(reason(&post_parts(&[]).await), @"400 image: there is no image: send it as the field 'image', or as the body itself");
}

#[tokio::test]
async fn an_option_s_text_is_utf_8_unless_it_says_latin_1() {
    let image = chelsea();
    let ask = async |head: &str, text: &[u8]| {
        let head = format!("Content-Disposition: form-data; name=\"model\"{head}");
        post_parts(&[(FILE, &image), (&head, text)]).await
    };
    for (head, text) in [
        ("", &b"tiny"[..]),
        ("", b"\xef\xbb\xbftiny"),
        ("\r\nContent-Type: text/plain; charset=UTF-8", b"tiny"),
        ("\r\nContent-Type: text/plain; charset=\"us-ascii\"", b"tiny"),
        ("\r\nContent-Type: text/plain; charset=ISO-8859-1", b"tiny"),
    ] {
        assert_eq!(ask(head, text).await.status, StatusCode::OK, "{head}");
    }
    let latin = ask("\r\nContent-Type: text/plain; charset=ISO-8859-1", b"tiny\xe9").await;
    assert!(reason(&latin).starts_with("404 model: there is no model 'tiny\u{e9}'"));
    insta::assert_snapshot!(reason(&ask("", b"tiny\xe9").await), @"400 model: the field 'model' is not UTF-8 (line 1); it must be UTF-8");
    insta::assert_snapshot!(reason(&ask("", b"\xff\xfet\0i\0n\0y\0").await), @"400 model: the field 'model' is UTF-16 or UTF-32, or binary; it must be UTF-8");
    insta::assert_snapshot!(reason(&ask("\r\nContent-Type: text/plain; charset=utf-16", b"x").await), @"400 model: the field 'model' has the charset 'utf-16'; it must be UTF-8");
}

#[tokio::test]
async fn json_may_start_with_a_byte_order_mark_and_a_scheme_has_no_case() {
    let base64 = base64::engine::general_purpose::STANDARD.encode(chelsea());
    for address in ["", "data:image/png;base64,", "DATA:image/png;BASE64,", "Data:;base64,"] {
        let text = json!({"image": format!("{address}{base64}"), "top_k": "\u{feff}2"}).to_string();
        let answered = post_raw("application/json", format!("\u{feff}{text}")).await;
        assert_eq!(answered.status, StatusCode::OK, "{address}: {:?}", answered.body);
        assert_eq!(answered.json()["predictions"].as_array().unwrap().len(), 2);
    }
    for address in ["data:image/png,aGk=", "DATA:base64,aGk=", "data:image/png;base64"] {
        let answered = post_raw("application/json", json!({"image": address}).to_string()).await;
        assert_eq!(
            reason(&answered),
            "400 image: the data: address in 'image' has no ';base64,'",
            "{address}"
        );
    }
    let wide: Vec<u8> = "{\"image\": 1}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    insta::assert_snapshot!(reason(&post_raw("application/json", wide).await), @"400 the JSON is UTF-16 or UTF-32, or binary; it must be UTF-8");
    insta::assert_snapshot!(reason(&post_raw("application/json", &b"{\"model\": \"\xe9\"}"[..]).await), @"400 the JSON is not UTF-8 (line 1); it must be UTF-8");
}

async fn encoded(service: &Router, codings: &[&str]) -> Answered {
    let mut request =
        Request::post("/v1/predict").header("content-type", "application/octet-stream");
    for coding in codings {
        request = request.header("content-encoding", *coding);
    }
    send(service, request.body(Body::from(chelsea())).unwrap()).await
}

#[tokio::test]
async fn a_compressed_body_is_refused_by_the_name_of_its_encoding() {
    let service = service();
    insta::assert_snapshot!(encoded(&service, &["gzip"]).await.problem(), @r"
    415
    detail: Content-Encoding 'gzip' is not accepted; send the body as it is
    instance: /v1/predict
    title: The body's encoding is not accepted
    type: /docs#problem-unsupported-encoding
    ");
    assert_eq!(encoded(&service, &["gzip"]).await.header("accept-encoding"), "identity");
    for codings in [&["BR"][..], &["identity, deflate"], &["identity", "zstd"], &["x-unknown"]] {
        let answered = encoded(&service, codings).await;
        assert_eq!(answered.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{codings:?}");
    }
    for codings in [&[][..], &["identity"], &["Identity, identity"], &[""]] {
        assert_eq!(encoded(&service, codings).await.status, StatusCode::OK, "{codings:?}");
    }
    still_answers(&service).await;
}

#[tokio::test]
async fn a_file_that_is_no_picture_is_named() {
    let service = service();
    let mut dicom = vec![0; 128];
    dicom.extend_from_slice(b"DICM");
    dicom.extend_from_slice(&[0; 300]);
    for (file, name) in [
        (dicom, "a DICOM file"),
        (b"%PDF-1.7".to_vec(), "a PDF"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic".to_vec(), "a HEIC"),
        (b"\x1f\x8b\x08\0".to_vec(), "a gzip file"),
        (b"\xff\xfec\0a\0t\0".to_vec(), "text in UTF-16"),
    ] {
        let answered = post_image(&service, "/v1/predict", file).await;
        let expected =
            format!("415 This is {name}. PNG, JPEG, WebP, GIF, BMP and TIFF are accepted.");
        assert_eq!(reason(&answered), expected);
    }
}
