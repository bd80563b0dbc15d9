use super::multipart;
use super::{Asked, Task, Units};
use crate::dialect::{Dialect, Quirks, Target};
use crate::form::Failure;
use crate::json::Json;
use proptest::prelude::*;

fn target(model: &str) -> Target {
    Target {
        model: model.to_owned(),
        ..Target::default()
    }
}

const fn asked(task: Task, body: &[u8]) -> Asked<'_> {
    Asked {
        task,
        body,
        boundary: None,
    }
}

#[track_caller]
fn check_written(task: Task, body: &str, dialect: Dialect, path: &str, expected: &str) {
    let written = asked(task, body.as_bytes())
        .write(dialect, &target("m-1"))
        .unwrap();
    assert_eq!(written.path, path);
    assert_eq!(String::from_utf8_lossy(&written.body), expected);
}

#[track_caller]
fn check_read(task: Task, body: &str, dialect: Dialect, answer: &str, expected: &str) -> Units {
    let asked = asked(task, body.as_bytes());
    let (read, told) = asked
        .read(dialect, &target("m-1"), answer.as_bytes())
        .unwrap();
    let read = read.map_or_else(
        || answer.to_owned(),
        |read| String::from_utf8(read).unwrap(),
    );
    assert_eq!(read, expected);
    told.units
}

fn refused(task: Task, body: &str, dialect: Dialect) -> Failure {
    let written = asked(task, body.as_bytes()).write(dialect, &target("m-1"));
    written.map(|_| ()).unwrap_err()
}

/// Forms as the vendors' references have them: OpenAI's `Create embeddings`, Gemini's `batchEmbedContents`, Cohere's
/// `v2/embed`, Ollama's `api/embed`.
#[test]
fn vectors_are_asked_of_each_provider_in_its_own_form() {
    let body = r#"{"model":"a","input":["x","y"],"dimensions":8,"encoding_format":"base64"}"#;
    check_written(
        Task::Embeddings,
        body,
        Dialect::OpenAiChat,
        "/embeddings",
        r#"{"model":"m-1","input":["x","y"],"dimensions":8,"encoding_format":"base64"}"#,
    );
    check_written(
        Task::Embeddings,
        body,
        Dialect::Gemini,
        "/models/m-1:batchEmbedContents",
        r#"{"requests":[{"model":"models/m-1","content":{"parts":[{"text":"x"}]},"outputDimensionality":8},{"model":"models/m-1","content":{"parts":[{"text":"y"}]},"outputDimensionality":8}]}"#,
    );
    check_written(
        Task::Embeddings,
        body,
        Dialect::Cohere,
        "/embed",
        r#"{"model":"m-1","texts":["x","y"],"input_type":"search_document","embedding_types":["float"],"output_dimension":8}"#,
    );
    check_written(
        Task::Embeddings,
        body,
        Dialect::Ollama,
        "/api/embed",
        r#"{"model":"m-1","input":["x","y"],"dimensions":8}"#,
    );
    let gemini =
        r#"{"content":{"parts":[{"text":"x"},{"text":"y"}]},"taskType":"RETRIEVAL_QUERY"}"#;
    check_written(
        Task::EmbedContent,
        gemini,
        Dialect::Cohere,
        "/embed",
        r#"{"model":"m-1","texts":["xy"],"input_type":"search_query","embedding_types":["float"]}"#,
    );
    check_written(
        Task::EmbedContent,
        gemini,
        Dialect::OpenAiChat,
        "/embeddings",
        r#"{"model":"m-1","input":["xy"],"encoding_format":"float"}"#,
    );
    check_written(
        Task::EmbedContents,
        r#"{"requests":[{"model":"models/a","content":{"parts":[{"text":"x"}]}}],"new":1}"#,
        Dialect::Gemini,
        "/models/m-1:batchEmbedContents",
        r#"{"requests":[{"model":"models/m-1","content":{"parts":[{"text":"x"}]}}],"new":1}"#,
    );
    let tokens = refused(
        Task::Embeddings,
        r#"{"model":"a","input":[[1,2]]}"#,
        Dialect::Gemini,
    );
    assert!(tokens.message.contains("has tokens"), "{}", tokens.message);
    let unknown = refused(
        Task::Embeddings,
        r#"{"model":"a","input":"x","new":1}"#,
        Dialect::Cohere,
    );
    assert_eq!(unknown.code.as_deref(), Some("unknown_field"));
    let nobody = refused(
        Task::Embeddings,
        r#"{"model":"a","input":"x"}"#,
        Dialect::Anthropic,
    );
    assert_eq!(nobody.code.as_deref(), Some("unsupported_endpoint"));
}

#[test]
fn vectors_come_back_in_the_caller_s_form_and_encoding() {
    let floats = r#"{"model":"a","input":"x"}"#;
    let expected = r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5,-1]}],"model":"m-1","usage":{"prompt_tokens":3,"total_tokens":3}}"#;
    for (dialect, answer) in [
        (
            Dialect::Gemini,
            r#"{"embeddings":[{"values":[0.5,-1]}],"usageMetadata":{"promptTokenCount":3}}"#,
        ),
        (
            Dialect::Cohere,
            r#"{"id":"1","embeddings":{"float":[[0.5,-1]]},"meta":{"billed_units":{"input_tokens":3}}}"#,
        ),
        (
            Dialect::Ollama,
            r#"{"model":"m","embeddings":[[0.5,-1]],"prompt_eval_count":3}"#,
        ),
    ] {
        check_read(Task::Embeddings, floats, dialect, answer, expected);
    }
    // 0.5 and -1 as four bytes each, least first.
    check_read(
        Task::Embeddings,
        r#"{"model":"a","input":"x","encoding_format":"base64"}"#,
        Dialect::Gemini,
        r#"{"embeddings":[{"values":[0.5,-1]}]}"#,
        r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":"AAAAPwAAgL8="}],"model":"m-1","usage":{"prompt_tokens":0,"total_tokens":0}}"#,
    );
    let openai = r#"{"object":"list","data":[{"embedding":[1,2]}],"usage":{"prompt_tokens":3}}"#;
    check_read(
        Task::EmbedContent,
        "{}",
        Dialect::OpenAiChat,
        openai,
        r#"{"embedding":{"values":[1,2]}}"#,
    );
    check_read(
        Task::EmbedContents,
        "{}",
        Dialect::OpenAiChat,
        openai,
        r#"{"embeddings":[{"values":[1,2]}]}"#,
    );
    check_read(
        Task::Embeddings,
        floats,
        Dialect::OpenAiChat,
        openai,
        openai,
    );
    let wrong =
        asked(Task::Embeddings, floats.as_bytes()).read(Dialect::Gemini, &target("m"), b"{}");
    assert!(wrong.is_err());
}

/// Forms as Jina's, Cohere's (`v2/rerank`) and Voyage's references have them.
#[test]
fn documents_are_ordered_by_each_provider_in_its_own_form() {
    let body = r#"{"model":"a","query":"q","documents":["x",{"text":"y"}],"top_n":1,"return_documents":true}"#;
    check_written(
        Task::Rerank,
        body,
        Dialect::OpenAiChat,
        "/rerank",
        r#"{"model":"m-1","query":"q","documents":["x",{"text":"y"}],"top_n":1,"return_documents":true}"#,
    );
    check_written(
        Task::Rerank,
        body,
        Dialect::Cohere,
        "/rerank",
        r#"{"model":"m-1","query":"q","documents":["x","y"],"top_n":1}"#,
    );
    let units = check_read(
        Task::Rerank,
        body,
        Dialect::Cohere,
        r#"{"id":"1","results":[{"index":1,"relevance_score":0.9}],"meta":{"billed_units":{"search_units":1}}}"#,
        r#"{"model":"m-1","results":[{"index":1,"relevance_score":0.9,"document":{"text":"y"}}],"id":"1","meta":{"billed_units":{"search_units":1}}}"#,
    );
    assert_eq!(units.searches, 1);
    let voyage = Target {
        quirks: Quirks {
            rerank_top_k: true,
            ..Quirks::default()
        },
        ..target("m-1")
    };
    let asked = asked(Task::Rerank, body.as_bytes());
    let written = asked.write(Dialect::OpenAiChat, &voyage).unwrap();
    assert_eq!(
        String::from_utf8_lossy(&written.body),
        r#"{"model":"m-1","query":"q","documents":["x","y"],"return_documents":true,"top_k":1}"#
    );
    let renamed = body.replace("\"top_n\"", "\"Model\"");
    let renamed = Asked {
        body: renamed.as_bytes(),
        ..asked
    };
    let refused = renamed.write(Dialect::OpenAiChat, &voyage).unwrap_err();
    assert_eq!(refused.code.as_deref(), Some("other_model_refused"));
    let answer = br#"{"object":"list","data":[{"index":0,"relevance_score":0.4,"document":"x"}],"model":"m","usage":{"total_tokens":7}}"#;
    let (read, told) = asked.read(Dialect::OpenAiChat, &voyage, answer).unwrap();
    assert_eq!(
        String::from_utf8(read.unwrap()).unwrap(),
        r#"{"model":"m-1","results":[{"index":0,"relevance_score":0.4,"document":{"text":"x"}}],"usage":{"total_tokens":7}}"#
    );
    assert_eq!(told.usage.unwrap().input, 7);
    let strange = asked.read(
        Dialect::Cohere,
        &target("m"),
        br#"{"results":[{"index":9}]}"#,
    );
    assert!(strange.is_err(), "a place that no document has");
}

#[test]
fn tokens_are_counted_by_providers_of_either_dialect() {
    let anthropic = r#"{"model":"a","system":"s","messages":[{"role":"user","content":"Hi"}]}"#;
    check_written(
        Task::CountTokens,
        anthropic,
        Dialect::Anthropic,
        "/messages/count_tokens",
        r#"{"model":"m-1","system":"s","messages":[{"role":"user","content":"Hi"}]}"#,
    );
    let written = asked(Task::CountTokens, anthropic.as_bytes())
        .write(Dialect::Gemini, &target("m-1"))
        .unwrap();
    assert_eq!(written.path, "/models/m-1:countTokens");
    let body = Json::parse(&written.body).unwrap();
    let request = body.get("generateContentRequest").unwrap();
    assert_eq!(
        request.get("model").and_then(Json::as_str),
        Some("models/m-1")
    );
    assert!(request.get("contents").is_some() && request.get("systemInstruction").is_some());
    let gemini = r#"{"contents":[{"role":"user","parts":[{"text":"Hi"}]}]}"#;
    check_written(
        Task::CountContent,
        gemini,
        Dialect::Gemini,
        "/models/m-1:countTokens",
        gemini,
    );
    for body in [
        gemini.to_owned(),
        format!(
            r#"{{"generateContentRequest":{{"model":"models/a",{}}}"#,
            &gemini[1..]
        ),
    ] {
        let written = asked(Task::CountContent, body.as_bytes())
            .write(Dialect::Anthropic, &target("m-1"))
            .unwrap();
        assert_eq!(written.path, "/messages/count_tokens");
        let body = Json::parse(&written.body).unwrap();
        assert!(
            body.get("messages").is_some() && body.get("max_tokens").is_none(),
            "{}",
            body.to_text()
        );
    }
    check_read(
        Task::CountTokens,
        anthropic,
        Dialect::Gemini,
        r#"{"totalTokens":9}"#,
        r#"{"input_tokens":9}"#,
    );
    check_read(
        Task::CountContent,
        gemini,
        Dialect::Anthropic,
        r#"{"input_tokens":9}"#,
        r#"{"totalTokens":9}"#,
    );
}

#[test]
fn what_is_not_counted_in_tokens_is_counted_in_what_it_is() {
    let of = |task, body: &str, answer: &str| {
        let asked = asked(task, body.as_bytes());
        asked
            .read(Dialect::OpenAiChat, &target("m"), answer.as_bytes())
            .unwrap()
            .1
    };
    let images = of(
        Task::Images,
        "{}",
        r#"{"data":[{},{}],"usage":{"input_tokens":5,"output_tokens":90,"total_tokens":95}}"#,
    );
    assert_eq!((images.units.images, images.usage.unwrap().output), (2, 90));
    let heard = of(
        Task::Transcriptions,
        "",
        r#"{"text":"Hi","usage":{"type":"duration","seconds":2.5}}"#,
    );
    assert_eq!((heard.units.audio_ms, heard.usage), (2_500, None));
    let verbose = of(Task::Translations, "", r#"{"text":"Hi","duration":"8.47"}"#);
    assert_eq!(verbose.units.audio_ms, 8_470);
    let spoken = super::Told::of_request(&asked(Task::Speech, "{\"input\":\"é!\"}".as_bytes()));
    assert_eq!(spoken.units.characters, 2);
    let mut told = super::Told::default();
    told.look(
        Task::Images,
        br#"{"type":"image_generation.partial_image","b64_json":"x"}"#,
    );
    told.look(
        Task::Images,
        br#"{"type":"image_generation.completed","usage":{"input_tokens":1,"output_tokens":2}}"#,
    );
    assert_eq!((told.units.images, told.usage.unwrap().input), (1, 1));
}

const FORM: &str = "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a \\\"b.mp3\"\r\nContent-Type: audio/mpeg\r\n\r\n\x00\r\n-\r\n--\r\n\r\n--B\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nfast\r\n--B--\r\n";

#[test]
fn of_a_form_one_text_is_exchanged_and_every_other_byte_stays() {
    assert_eq!(
        multipart::text(FORM.as_bytes(), "B", "model").unwrap(),
        "fast"
    );
    let edited = multipart::with_text(FORM.as_bytes(), "B", "model", "whisper-1").unwrap();
    assert_eq!(
        String::from_utf8(edited).unwrap(),
        FORM.replace("\r\n\r\nfast\r\n", "\r\n\r\nwhisper-1\r\n")
    );
    let type_of = |text: &str| multipart::boundary(text);
    assert_eq!(type_of("multipart/form-data; boundary=B").unwrap(), "B");
    assert_eq!(
        type_of("Multipart/Form-Data; charset=utf-8; boundary=\"a b\"").ok(),
        None
    );
    assert_eq!(
        type_of("multipart/form-data; boundary=\"a=b\"").unwrap(),
        "a=b"
    );
    for wrong in [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=a; boundary=b",
        "multipart/form-data; boundary*=utf-8''a",
        // By this, a reader finds a second part `model` in one that is called `+AG0-odel`.
        "multipart/form-data; boundary=B; charset=utf-7",
        "multipart/form-data; charset=utf-8; boundary=B",
        "multipart/form-data; boundary=B; x",
        "multipart/mixed; boundary=a",
    ] {
        assert!(type_of(wrong).is_err(), "{wrong}");
    }
    for (boundary, written) in [
        ("B", "multipart/form-data; boundary=B"),
        ("a=b", "multipart/form-data; boundary=\"a=b\""),
    ] {
        assert_eq!(multipart::content_type(boundary), written);
        assert_eq!(type_of(written).unwrap(), boundary);
    }
    for type_of_text in ["text/plain", "text/plain; charset=UTF-8", "a/b; c=\"d\""] {
        let head = format!("\"model\"\r\nContent-Type: {type_of_text}\r\n");
        let form = FORM.replacen("\"model\"\r\n", &head, 1);
        let read = multipart::text(form.as_bytes(), "B", "model");
        assert_eq!(read.unwrap(), "fast", "{type_of_text}");
    }
}

/// Each of these is read by one reader or another with another model than the first.
#[test]
fn a_form_that_could_be_read_in_two_ways_is_refused() {
    let second = "--B\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nother\r\n";
    let with = |from: &str, to: &str| FORM.replacen(from, to, 1);
    for (why, form) in [
        (
            "twice",
            with("--B\r\ncontent", &format!("{second}--B\r\ncontent")),
        ),
        (
            "a bare line feed",
            with("\r\n--B--", &format!("\n{}\r\n--B--", second.trim_end())),
        ),
        ("before the first", format!("x\r\n{FORM}")),
        ("behind the last", format!("{FORM}{second}--B--\r\n")),
        ("within a line", with("fast", "fast --B")),
        (
            "a boundary and more",
            with("\r\n--B\r\ncontent", "\r\n--Bx\r\ncontent"),
        ),
        (
            "two names",
            with("name=\"model\"", "name=\"model\"; name=\"other\""),
        ),
        (
            "a name in other letters",
            with("name=\"model\"", "name=\"model\"; name*=utf-8''other"),
        ),
        ("no quotes", with("name=\"model\"", "name=model")),
        ("a backslash", with("name=\"model\"", "name=\"mo\\del\"")),
        (
            "two dispositions",
            with(
                "content-disposition: ",
                "content-disposition: form-data; name=\"x\"\r\nContent-Disposition: ",
            ),
        ),
        (
            "a folded line",
            with("form-data; name=\"model\"", "form-data;\r\n name=\"model\""),
        ),
        (
            "an encoding",
            with(
                "\"model\"\r\n",
                "\"model\"\r\nContent-Transfer-Encoding: base64\r\n",
            ),
        ),
        (
            "a file",
            with("name=\"model\"", "name=\"model\"; filename=\"f\""),
        ),
        (
            "a blank behind a field's name",
            with("content-disposition:", "content-disposition :"),
        ),
        (
            "a field's name that is none",
            with("\"model\"\r\n", "\"model\"\r\nx\t: y\r\n"),
        ),
        (
            "a charset for all",
            with(
                "name=\"file\"; filename=\"a \\\"b.mp3\"",
                "name=\"_charset_\"",
            ),
        ),
        (
            "another charset",
            with(
                "\"model\"\r\n",
                "\"model\"\r\nContent-Type: text/plain; charset=utf-7\r\n",
            ),
        ),
        (
            "a charset in another form",
            with(
                "\"model\"\r\n",
                "\"model\"\r\nContent-Type: text/plain; charset*=utf-8''utf-8\r\n",
            ),
        ),
        (
            "two types",
            with(
                "\"model\"\r\n",
                "\"model\"\r\nContent-Type: text/plain\r\nContent-Type: text/plain\r\n",
            ),
        ),
        ("no end", with("\r\n--B--\r\n", "")),
        ("nothing", String::new()),
    ] {
        let read = multipart::text(form.as_bytes(), "B", "model");
        assert!(read.is_err(), "{why}: {read:?}");
    }
}

proptest! {
    #[test]
    fn whatever_is_no_form_breaks_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _any = multipart::parts(&bytes, "B");
        let mut form = FORM.as_bytes().to_vec();
        let at = bytes.len() % form.len();
        form.splice(at..at, bytes.iter().copied().take(20));
        if let Ok(edited) = multipart::with_text(&form, "B", "model", "m") {
            prop_assert_eq!(multipart::text(&edited, "B", "model").unwrap(), "m");
        }
    }

    #[test]
    fn a_file_of_any_bytes_stays_as_it_is(file in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assume!(!file.windows(3).any(|bytes| bytes == b"--B"));
        let mut form = b"--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n".to_vec();
        form.extend_from_slice(&file);
        form.extend_from_slice(b"\r\n--B\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\na\r\n--B--");
        let edited = multipart::with_text(&form, "B", "model", "b").unwrap();
        let place = form.len() - b"a\r\n--B--".len();
        form[place] = b'b';
        prop_assert_eq!(edited, form);
    }
}
