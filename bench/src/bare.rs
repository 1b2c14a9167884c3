//! The yardstick: an actix-web handler that reads a JSON body and answers one, with nothing behind it.
use actix_web::{App, HttpResponse, HttpServer, web};
use serde_json::{Value, json};

async fn echo(body: web::Json<Value>) -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "succeeded", "outputs": body.into_inner()}))
}

/// Serves on a free port of loopback and prints it; ends with its parent, which holds its stdin.
pub(crate) fn serve() -> std::io::Result<()> {
    actix_web::rt::System::new().block_on(async {
        let server =
            HttpServer::new(|| App::new().route("/run", web::post().to(echo))).workers(2).bind("127.0.0.1:0")?;
        let address = server.addrs()[0];
        println!("listening on http://{address}");
        let running = server.run();
        let handle = running.handle();
        std::thread::spawn(move || {
            let mut line = String::new();
            // The end of stdin is the end of the parent.
            while std::io::stdin().read_line(&mut line).is_ok_and(|length| length > 0) {
                line.clear();
            }
            drop(handle.stop(false));
        });
        running.await
    })
}
