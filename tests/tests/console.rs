//! Suite: the console as a person without scripts uses it.
use reqwest::Method;
use std::{collections::BTreeMap, net::IpAddr};
use tests::{Owner, on_both_stores};

/// Another address of this machine.
fn address(number: u8) -> IpAddr {
    IpAddr::from([127, 0, 0, number])
}

/// So many wrong passwords for an account at once from one address: how often each status came. Whoever is told to wait
/// is told for how long.
async fn guess(origin: &str, from: IpAddr, email: &str, times: usize) -> BTreeMap<u16, usize> {
    let guesses = (0..times).map(|number| {
        let (visitor, email) = (Owner::visitor_from(origin, from), email.to_owned());
        tokio::spawn(async move { visitor.sign_in(&email, &format!("wrong {number}")).await })
    });
    let mut statuses = BTreeMap::new();
    for guess in guesses.collect::<Vec<_>>() {
        let Ok(page) = guess.await else { panic!("a guess got no answer") };
        let status = page.answer.status();
        let waits = page.answer.header("retry-after").and_then(|wait| wait.parse::<u64>().ok());
        assert_eq!(waits.is_some_and(|wait| wait > 0), status == 429, "{}", page.answer);
        *statuses.entry(status).or_default() += 1;
    }
    statuses
}

on_both_stores! {
    async fn an_owner_signs_in_by_link_and_later_by_password(world: World) {
        let acme = world.tenant("acme").await;
        let owner = acme.owner().await;
        let page = owner.open("/t/acme").await;
        assert_eq!(page.answer.status(), 200, "{}", page.answer);
        let visitor = tests::Owner::visitor(&world.url());
        let page = visitor.sign_in(&owner.email, &owner.password).await;
        assert_eq!(page.path, "/t/acme", "{}", page.answer);
    }

    async fn a_visitor_is_led_to_the_sign_in_page(world: World) {
        world.tenant("acme").await;
        let page = tests::Owner::visitor(&world.url()).open("/t/acme/runs").await;
        assert!(page.path.starts_with("/sign-in"), "{}", page.path);
    }

    async fn a_burst_of_guesses_gets_no_more_looks_than_single_ones_and_keeps_nobody_else_out(world: World) {
        let owner = world.tenant("acme").await.owner().await;
        let statuses = guess(&world.url(), address(2), &owner.email, 30).await;
        assert_eq!(statuses, BTreeMap::from([(401, 5), (429, 25)]));
        // The owner waits where the guesses came from, and nowhere else.
        let page = Owner::visitor_from(&world.url(), address(2)).sign_in(&owner.email, &owner.password).await;
        assert_eq!(page.answer.status(), 429, "{}", page.answer);
        let page = Owner::visitor_from(&world.url(), address(3)).sign_in(&owner.email, &owner.password).await;
        assert_eq!(page.path, "/t/acme", "{}", page.answer);
    }

    async fn guesses_from_many_addresses_are_slowed_and_the_owner_still_gets_in_from_home(world: World) {
        let owner = world.tenant("acme").await.owner().await;
        let mut looks = 0;
        for number in 10..30 {
            let statuses = guess(&world.url(), address(number), &owner.email, 4).await;
            looks += statuses.get(&401).copied().unwrap_or_default();
        }
        assert!((45..=60).contains(&looks), "{looks} passwords were looked at");
        // At home is where a session of the account is: the link was followed from there.
        let page = Owner::visitor(&world.url()).sign_in(&owner.email, &owner.password).await;
        assert_eq!(page.path, "/t/acme", "{}", page.answer);
    }

    async fn one_password_tried_on_many_accounts_is_slowed_by_its_address(world: World) {
        let mut looks = 0;
        for number in 0..30 {
            let statuses = guess(&world.url(), address(2), &format!("person{number}@example.com"), 3).await;
            looks += statuses.get(&401).copied().unwrap_or_default();
        }
        assert_eq!(looks, 50);
    }

    async fn what_is_not_there_is_not_found_and_a_wrong_method_is_told_the_right_ones(world: World) {
        let owner = world.tenant("acme").await.owner().await;
        for (method, path, status, allow) in [
            (Method::POST, "/nothing", 404, None),
            (Method::POST, "/t/acme/nothing/at/all", 404, None),
            (Method::PUT, "/t/acme/nothing", 404, None),
            (Method::GET, "/t/acme/nothing", 404, None),
            (Method::POST, "/t/acme/runs", 405, Some("GET, HEAD, OPTIONS")),
            (Method::DELETE, "/t/acme/settings", 405, Some("GET, HEAD, POST, OPTIONS")),
            (Method::GET, "/sign-out", 405, Some("POST, OPTIONS")),
            (Method::GET, "/t/acme", 200, None),
        ] {
            let answer = owner.send(owner.request(method.clone(), path)).await;
            assert_eq!(answer.status(), status, "{method} {path}: {answer}");
            assert_eq!(answer.header("allow"), allow, "{method} {path}: {answer}");
            if status != 200 && method != Method::GET {
                answer.problem();
            }
        }
    }
}
