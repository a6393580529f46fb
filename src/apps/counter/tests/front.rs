//! The pages and the API's description.

use super::*;

#[tokio::test]
async fn pages_are_strict_and_link_only_to_what_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let bench = embedded(directory.path());
    for page in ["/flask/", "/flask/swagger/"] {
        let response = bench.get(page).await;
        assert_eq!(response.status(), StatusCode::OK);
        let policy = head(&response, "content-security-policy").to_owned();
        assert!(
            policy.starts_with("default-src 'none'; style-src 'self'"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe"), "{policy}");
        let html = text(response).await;
        assert!(
            !html.contains("<style") && !html.contains(" style="),
            "inline style"
        );
        assert!(
            !html.contains("<script>") && !html.contains(" onclick"),
            "inline script"
        );
        let links = html.split(['"']).filter(|word| {
            word.ends_with(".css")
                || word.ends_with(".js")
                || word.ends_with(".png")
                || word.ends_with('/')
                || word.ends_with(".json")
                || *word == "api/ping"
        });
        for link in links {
            let path = match link.strip_prefix("../") {
                Some(up) => format!("/flask/{up}"),
                None => format!("{page}{link}"),
            };
            assert_eq!(bench.get(&path).await.status(), StatusCode::OK, "{path}");
        }
    }
}

#[tokio::test]
async fn paths_without_their_slash_lead_on() {
    let directory = tempfile::tempdir().unwrap();
    let bench = embedded(directory.path());
    for (path, to) in [("/flask", "/flask/"), ("/flask/swagger", "/flask/swagger/")] {
        let response = bench.get(path).await;
        assert_eq!(response.status(), StatusCode::PERMANENT_REDIRECT);
        assert_eq!(head(&response, "location"), to);
    }
}

#[tokio::test]
async fn swagger_serves_only_what_its_page_uses() {
    let directory = tempfile::tempdir().unwrap();
    let bench = embedded(directory.path());
    let response = bench.get("/flask/swagger/swagger-ui-bundle.js").await;
    assert_eq!(head(&response, "content-encoding"), "gzip");
    assert_eq!(head(&response, "content-type"), "text/javascript");
    for absent in [
        "index.html",
        "swagger-initializer.js",
        "oauth2-redirect.html",
        "..%2f..%2fetc%2fpasswd",
    ] {
        let response = bench.get(&format!("/flask/swagger/{absent}")).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{absent}");
    }
}

#[tokio::test]
async fn the_description_is_whole() {
    let directory = tempfile::tempdir().unwrap();
    let bench = embedded(directory.path());
    let document = json_of(bench.get("/flask/openapi.json").await).await;
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["servers"][0]["url"], "/flask");
    let paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
    assert_eq!(
        paths,
        [
            "/api/count",
            "/api/ping",
            "/auth/login",
            "/auth/logout",
            "/auth/refresh"
        ]
    );
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for reference in document.to_string().split("#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(schemas.contains_key(name), "{name} is not described");
    }
    assert_eq!(
        document["components"]["securitySchemes"]["token"]["scheme"],
        "bearer"
    );
}
