//! Suite: the REST interface, by API key, as scripts see it.
use tests::on_both_stores;

on_both_stores! {
    async fn a_started_server_says_that_it_lives_and_is_ready(world: World) {
        let stranger = world.stranger();
        stranger.get("/health/live").await.expect_status(200);
        stranger.get("/health/ready").await.expect_status(200);
    }

    async fn two_tenants_have_keys_of_their_own(world: World) {
        let one = world.tenant("acme").await.key(&[]).await;
        let other = world.tenant("globex").await.key(&[]).await;
        assert_ne!(one.secret(), other.secret());
        one.get("/api/v1/flows").await.expect_status(200);
        other.get("/api/v1/flows").await.expect_status(200);
        let refused = world.stranger().get("/api/v1/flows").await.expect_status(401);
        assert_eq!(refused.problem().code, "unauthenticated");
    }
}
