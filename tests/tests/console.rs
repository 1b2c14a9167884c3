//! Suite: the console as a person without scripts uses it.
use tests::on_both_stores;

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
}
