//! Pages, log-in, and what keeps both from harm.

use super::bed::{Central, FORM, PASSWORD, SESSION, printer};
use super::submit::deliver;

fn try_password(central: &Central, name: &str, password: &str, from: &str) -> super::bed::Answer {
    let form = central.request("GET /login HTTP/1.1\r\nHost: central\r\n", b"");
    let cookie = form.cookie(FORM).expect("a cookie");
    let body = format!("token={}&next=/&name={name}&password={password}", form.field("token").expect("a token"));
    post(central, "/login", &format!("{FORM}={cookie}\r\nX-Forwarded-For: {from}"), &body)
}

fn post(central: &Central, path: &str, cookie: &str, body: &str) -> super::bed::Answer {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: central\r\nCookie: {cookie}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    );
    central.request(&head, body.as_bytes())
}

#[test]
fn no_page_is_shown_without_a_log_in() {
    let central = Central::start();
    for path in ["/", "/?q=a%26b&sort=-total", "/sites", "/devices/00"] {
        let answer = central.request(&format!("GET {path} HTTP/1.1\r\nHost: central\r\n"), b"");
        assert_eq!(answer.status, 303, "{path}");
        assert!(answer.header("location").is_some_and(|place| place.starts_with("/login?next=/")), "{path}");
    }
    assert_eq!(central.page("no-such-session", "/").status, 303);
    assert_eq!(central.request("GET /healthz HTTP/1.1\r\nHost: central\r\n", b"").body, "ok\n");
}

#[test]
fn every_answer_carries_the_headers_that_keep_others_out() {
    let central = Central::start();
    for path in ["/login", "/", "/nowhere", "/static/style.css", "/soap/v1?wsdl"] {
        let answer = central.request(&format!("GET {path} HTTP/1.1\r\nHost: central\r\n"), b"");
        let policy = answer.header("content-security-policy").unwrap_or_default();
        assert!(policy.starts_with("default-src 'self';"), "{path}: {policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("x-frame-options"), Some("DENY"), "{path}");
        assert_eq!(answer.header("strict-transport-security"), Some("max-age=31536000"), "{path}");
    }
    let login = central.request("GET /login HTTP/1.1\r\nHost: central\r\n", b"");
    let cookie = login.header("set-cookie").expect("a cookie");
    assert!(cookie.ends_with("; HttpOnly; SameSite=Lax; Secure"), "{cookie}");
}

#[test]
fn a_form_without_the_value_of_its_cookie_does_nothing() {
    let central = Central::start();
    let body = format!("token=x&next=/&name=admin&password={PASSWORD}");
    let answer = post(&central, "/login", &format!("{FORM}=y"), &body);
    assert_eq!((answer.status, answer.cookie(SESSION)), (200, None));
    let session = central.log_in();
    assert_eq!(post(&central, "/logout", &format!("{SESSION}={session}"), "token=x").status, 403);
    assert_eq!(central.page(&session, "/").status, 200);
}

#[test]
fn logging_out_ends_the_session_for_everybody_who_has_the_cookie() {
    let central = Central::start();
    let session = central.log_in();
    let token = central.page(&session, "/").field("token").expect("a form");
    assert_eq!(post(&central, "/logout", &format!("{SESSION}={session}"), &format!("token={token}")).status, 303);
    assert_eq!(central.page(&session, "/").status, 303);
}

#[test]
fn who_guesses_is_slowed_down_and_locks_nobody_else_out() {
    let central = Central::start();
    let mut answers = Vec::new();
    for name in ["admin", "nobody"] {
        for _ in 0..10 {
            let answer = try_password(&central, name, "wrong-password", "192.0.2.7");
            assert!(answer.body.contains("Name or password is wrong."), "{}", answer.body);
        }
        answers.push(try_password(&central, name, "wrong-password", "192.0.2.8"));
    }
    // What is said tells nobody which names there are.
    let words = |answer: &super::bed::Answer| answer.body.split("<input").next().map(str::to_owned);
    assert_eq!((answers[0].status, words(&answers[0])), (answers[1].status, words(&answers[1])));
    for name in ["admin", "nobody"] {
        assert_eq!(try_password(&central, name, PASSWORD, "192.0.2.7").status, 429, "{name}");
    }
    assert_eq!(
        try_password(&central, "admin", PASSWORD, "192.0.2.9").status,
        303,
        "from elsewhere the right one is right"
    );
}

#[test]
fn a_whole_ipv6_network_has_the_guesses_of_one_address() {
    let central = Central::start();
    let from = |host: u32| format!("2001:db8:1:2::{host:x}");
    let statuses: Vec<u16> =
        (0..11).map(|host| try_password(&central, "admin", "wrong-password", &from(host)).status).collect();
    assert_eq!((statuses[9], statuses[10]), (200, 429));
    assert_eq!(try_password(&central, "admin", PASSWORD, "2001:db8:1:3::1").status, 303);
}

#[test]
fn a_log_in_ends_the_session_that_it_replaces() {
    let central = Central::start();
    let old = central.log_in();
    let form = central.request("GET /login HTTP/1.1\r\nHost: central\r\n", b"");
    let (cookie, token) = (form.cookie(FORM).expect("a cookie"), form.field("token").expect("a token"));
    let body = format!("token={token}&next=/&name=admin&password={PASSWORD}");
    let answer = post(&central, "/login", &format!("{FORM}={cookie}; {SESSION}={old}"), &body);
    let new = answer.cookie(SESSION).expect("a session");
    assert_eq!((central.page(&old, "/").status, central.page(&new, "/").status), (303, 200));
}

#[test]
fn after_the_log_in_a_search_is_still_what_it_was() {
    let central = Central::start();
    let answer = central.request("GET /?q=a+b&show=low HTTP/1.1\r\nHost: central\r\n", b"");
    let form = answer.header("location").expect("the log-in page").to_owned();
    let page = central.request(&format!("GET {form} HTTP/1.1\r\nHost: central\r\n"), b"");
    assert_eq!(page.field("next").as_deref(), Some("/?q=a+b&#38;show=low"));
}

#[test]
fn every_fault_is_a_page() {
    let central = Central::start();
    let session = central.log_in();
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: central\r\nCookie: {SESSION}={session}\r\n");
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let send = |method: &str, path: &str, more: &str| {
        format!("{method} {path} HTTP/1.1\r\nHost: central\r\nCookie: {SESSION}={session}\r\n{more}")
    };
    let long = vec![b'x'; 20 << 10];
    for (head, body, status) in [
        (get("/?page=abc"), &b""[..], 200),
        (get("/?page=99999999999999999999&sort=nonsense&show=x"), b"", 200),
        (get("/?q=a&q=b"), b"", 200),
        (get("/?q=%ff%fe"), b"", 200),
        (get("/login?next=a&next=b"), b"", 200),
        (get("/devices/%ff"), b"", 404),
        (get("/sites/%ff"), b"", 404),
        (send("POST", "/sites/%ff", form), b"token=a&sequence=1", 404),
        (get("/devices/x/y"), b"", 404),
        (get("/logout"), b"", 405),
        (send("POST", "/", form), b"", 405),
        (send("DELETE", "/sites", ""), b"", 405),
        (send("POST", "/login", form), b"", 200),
        (send("POST", "/login", form), b"name=a&name=b", 422),
        (send("POST", "/login", ""), b"name=a", 415),
        (send("POST", "/login", form), &long, 413),
        (send("POST", "/logout", form), b"", 403),
    ] {
        let answer = central.request(&head, body);
        assert_eq!(answer.status, status, "{head}: {}", answer.body);
        assert!(answer.body.contains("<link rel=\"stylesheet\""), "{head}: {}", answer.body);
        assert!(!answer.body.contains("deserialize"), "{head}: {}", answer.body);
    }
}

#[test]
fn what_a_device_says_is_text_and_never_markup() {
    let central = Central::start();
    let site = central.add_site("<b>North</b>");
    let mut device = printer("A1", 10, "2026-11-20T06:01:44Z");
    let identity = device.identity.as_mut().expect("an identity");
    identity.system_name = Some("<script>alert(1)</script>".to_owned());
    identity.location = Some("\"><img src=x>".to_owned());
    deliver(&central, &site, &site.batch(1, vec![device]));
    let session = central.log_in();
    let fleet = central.page(&session, "/?q=%22%3E%3Cscript%3E");
    assert!(!fleet.body.contains("\"><script>"), "{}", fleet.body);
    let fleet = central.page(&session, "/").body;
    let link = fleet.split("href=\"/devices/").nth(1).and_then(|rest| rest.split('"').next()).expect("a device");
    for page in
        [&fleet, &central.page(&session, &format!("/devices/{link}")).body, &central.page(&session, "/sites").body]
    {
        assert!(!page.contains("<script") && !page.contains("<img") && !page.contains("<b>"), "{page}");
    }
}

#[test]
fn the_page_of_a_device_shows_where_each_number_came_from() {
    let central = Central::start();
    let site = central.add_site("North");
    deliver(&central, &site, &site.batch(1, vec![printer("A1", 1_000, "2026-11-18T06:00:00Z")]));
    deliver(&central, &site, &site.batch(2, vec![printer("A1", 1_500, "2026-11-20T06:00:00Z")]));
    let session = central.log_in();
    let fleet = central.page(&session, "/").body;
    let link = fleet.split("href=\"/devices/").nth(1).and_then(|rest| rest.split('"').next()).expect("a device");
    let page = central.page(&session, &format!("/devices/{link}")).body;
    for text in
        ["1.3.6.1.4.1.99999.4.1.1", "1\u{202f}500", "system.impressions", "<polyline", "Tray 2 low", "35 %", "Ready"]
    {
        assert!(page.contains(text), "`{text}` is not on the page: {page}");
    }
    assert_eq!(central.page(&session, "/devices/ffffffffffffffffffffffffffffffff").status, 404);
}

#[test]
fn no_page_loads_anything_from_elsewhere_or_needs_a_script() {
    let central = Central::start();
    let site = central.add_site("North");
    deliver(&central, &site, &site.batch(1, vec![printer("A1", 10, "2026-11-20T06:01:44Z")]));
    let session = central.log_in();
    for path in ["/", "/sites", "/login", "/static/style.css", "/nowhere"] {
        let page = central.page(&session, path).body;
        for word in ["http://", "https://", "url(", "<script", "@import", "style=\""] {
            assert!(!page.contains(word), "`{word}` stands in {path}");
        }
    }
}
