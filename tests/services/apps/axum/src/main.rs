use axum::{response::Html, routing::get, Router};

#[tokio::main]
async fn main() {
    let page = std::fs::read_to_string("static/index.html").expect("the page");
    let app = Router::new()
        .route("/", get(move || async move { Html(page.clone()) }))
        .route("/healthz", get(|| async { "ok" }));
    let listener = tokio::net::TcpListener::bind("0.0.0.0:4000").await.expect("a port");
    axum::serve(listener, app).await.expect("serve");
}
