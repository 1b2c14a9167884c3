//! The first wall between tenants: queries start here, and here the tenant is already in them.
//!
//! Invariant: outside this crate there is no way to a tenant table but [`Scope::find`], [`Unit`]'s writes and the closed
//! list in [`crate::system`].

use domain::TenantId;
use futures_util::future::BoxFuture;
use sea_orm::sea_query::{IntoCondition, LockType, OnConflict, SimpleExpr};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, DeleteMany, EntityTrait, FromQueryResult, Insert, InsertMany, IntoActiveModel,
    ModelTrait, Order, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, Select, TryGetableMany, UpdateMany, Value,
};

use crate::bulk;
use crate::error::StoreError;
use crate::link::Connection;
use crate::run_update::RunUpdate;
use crate::whole_run::WholeRun;

/// An entity whose rows belong to one tenant.
pub trait Tenanted: EntityTrait {
    /// The column that names the tenant.
    fn tenant_column() -> Self::Column;
}

macro_rules! tenanted {
    ($column:ident) => {
        impl crate::scope::Tenanted for Entity {
            fn tenant_column() -> Column {
                Column::$column
            }
        }
    };
}
pub(crate) use tenanted;

/// Seals [`Scope`]: only this crate's handles have a connection.
pub(crate) trait Linked {
    fn connection(&self) -> &Connection;
}

/// Something that can be read from within one tenant: a [`Reader`] or a [`Unit`].
#[expect(private_bounds, reason = "sealed: only this crate's handles are scopes")]
pub trait Scope: Linked + Sync {
    fn tenant(&self) -> TenantId;

    /// Starts a query that sees this tenant's rows only.
    fn find<E: Tenanted>(&self) -> Find<'_, E> {
        Find::new(self.connection(), E::find().filter(E::tenant_column().eq(self.tenant().uuid())))
    }

    /// The people who are members here, by their ids.
    fn find_users(
        &self,
        ids: Vec<uuid::Uuid>,
    ) -> impl Future<Output = Result<Vec<crate::user::Model>, StoreError>> + Send {
        let connection = self.connection();
        async move {
            use crate::user::{Column, Entity};
            Ok(Entity::find().filter(Column::Id.is_in(ids)).all(connection).await?)
        }
    }
}

/// Reads within one tenant. On PostgreSQL a transaction, so keep it short and drop it before anything slow.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
    tenant: TenantId,
}

/// Reads and writes within one tenant, as one unit of work: all of it is kept, or nothing.
#[derive(Debug)]
pub struct Unit {
    connection: Connection,
    tenant: TenantId,
}

impl Reader {
    pub(crate) fn new(connection: Connection, tenant: TenantId) -> Self {
        Self { connection, tenant }
    }
}

impl Linked for Reader {
    fn connection(&self) -> &Connection {
        &self.connection
    }
}

impl Scope for Reader {
    fn tenant(&self) -> TenantId {
        self.tenant
    }
}

impl Linked for Unit {
    fn connection(&self) -> &Connection {
        &self.connection
    }
}

impl Scope for Unit {
    fn tenant(&self) -> TenantId {
        self.tenant
    }
}

impl Unit {
    pub(crate) fn new(connection: Connection, tenant: TenantId) -> Self {
        Self { connection, tenant }
    }

    /// Inserts one row.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] when its key is taken, [`StoreError::Unscoped`] when it names another tenant.
    pub async fn insert<M>(&self, row: M) -> Result<(), StoreError>
    where
        M: ModelTrait + Sync,
        M::Entity: Tenanted<Model = M>,
    {
        self.own(&row)?;
        Ok(bulk::insert(&self.connection, &[row]).await?)
    }

    /// Inserts many rows in as few statements as the databases' limits on parameters allow.
    ///
    /// # Errors
    /// As [`Self::insert`].
    pub async fn insert_all<M>(&self, rows: Vec<M>) -> Result<(), StoreError>
    where
        M: ModelTrait + Sync,
        M::Entity: Tenanted<Model = M>,
    {
        for row in &rows {
            self.own(row)?;
        }
        Ok(bulk::insert(&self.connection, &rows).await?)
    }

    /// Inserts a row unless its key is taken; says whether it did.
    ///
    /// # Errors
    /// As [`Self::insert`], without [`StoreError::Duplicate`].
    pub async fn insert_if_absent<M>(&self, row: M) -> Result<bool, StoreError>
    where
        M: ModelTrait + IntoActiveModel<<M::Entity as EntityTrait>::ActiveModel>,
        M::Entity: Tenanted<Model = M>,
        <M::Entity as EntityTrait>::ActiveModel: Send,
    {
        self.own(&row)?;
        let insert =
            Insert::one(row.into_active_model().reset_all()).on_conflict(OnConflict::new().do_nothing().to_owned());
        Ok(insert.exec_without_returning(&self.connection).await? > 0)
    }

    /// Inserts the rows of a run that is not in the store yet.
    ///
    /// # Errors
    /// As [`Self::insert`].
    pub async fn insert_run(&self, run: &WholeRun) -> Result<(), StoreError> {
        run.check(self.tenant)?;
        run.write(&self.connection).await?;
        self.announce(&run.notice);
        Ok(())
    }

    /// Adds to a run that is in the store.
    ///
    /// # Errors
    /// [`StoreError::Stale`] when somebody else wrote the run meanwhile, [`StoreError::Unscoped`] when a row is not its own.
    pub async fn update_run(&self, update: &RunUpdate) -> Result<(), StoreError> {
        update.check(self.tenant)?;
        update.write(&self.connection).await?;
        self.announce(&update.rows.notice);
        Ok(())
    }

    /// Inserts rows, or updates `columns` of the rows that have the same `key`.
    ///
    /// # Errors
    /// As [`Self::insert`], without [`StoreError::Duplicate`] on `key`.
    pub async fn upsert_all<M>(
        &self,
        rows: Vec<M>,
        key: &[<M::Entity as EntityTrait>::Column],
        columns: &[<M::Entity as EntityTrait>::Column],
    ) -> Result<(), StoreError>
    where
        M: ModelTrait + IntoActiveModel<<M::Entity as EntityTrait>::ActiveModel>,
        M::Entity: Tenanted<Model = M>,
        <M::Entity as EntityTrait>::ActiveModel: Send,
    {
        if rows.is_empty() {
            return Ok(());
        }
        let mut active = Vec::with_capacity(rows.len());
        for row in rows {
            self.own(&row)?;
            active.push(row.into_active_model().reset_all());
        }
        while !active.is_empty() {
            let rest = active.split_off(active.len().min(ROWS_A_STATEMENT));
            let conflict = OnConflict::columns(key.iter().copied()).update_columns(columns.iter().copied()).to_owned();
            InsertMany::many(active).on_conflict(conflict).exec_without_returning(&self.connection).await?;
            active = rest;
        }
        Ok(())
    }

    /// Starts an update of this tenant's rows.
    pub fn update<E: Tenanted>(&self) -> Change<'_, E> {
        Change {
            connection: &self.connection,
            update: E::update_many().filter(E::tenant_column().eq(self.tenant.uuid())),
        }
    }

    /// Starts a removal of this tenant's rows.
    pub fn delete<E: Tenanted>(&self) -> Removal<'_, E> {
        Removal {
            connection: &self.connection,
            delete: E::delete_many().filter(E::tenant_column().eq(self.tenant.uuid())),
        }
    }

    fn own<M>(&self, row: &M) -> Result<(), StoreError>
    where
        M: ModelTrait,
        M::Entity: Tenanted<Model = M>,
    {
        match row.get(<M::Entity as Tenanted>::tenant_column()) {
            Value::Uuid(Some(id)) if id == self.tenant.uuid() => Ok(()),
            _ => Err(StoreError::Unscoped(sea_orm::EntityName::table_name(&M::Entity::default()).to_owned())),
        }
    }
}

/// SQLite takes 32,766 parameters a statement, PostgreSQL 65,535; the widest table has fewer than 60 columns.
const ROWS_A_STATEMENT: usize = 400;

/// A query with the tenant in it.
#[derive(Debug)]
#[must_use = "a query does nothing until one(), all() or count() is awaited"]
pub struct Find<'a, E: EntityTrait> {
    connection: &'a Connection,
    select: Select<E>,
}

impl<'a, E: EntityTrait> Find<'a, E> {
    pub(crate) fn new(connection: &'a Connection, select: Select<E>) -> Self {
        Self { connection, select }
    }

    /// Narrows the query; several filters hold together.
    pub fn filter(mut self, condition: impl IntoCondition) -> Self {
        self.select = self.select.filter(condition);
        self
    }

    pub fn order_by_asc(mut self, column: E::Column) -> Self {
        self.select = self.select.order_by(column, Order::Asc);
        self
    }

    pub fn order_by_desc(mut self, column: E::Column) -> Self {
        self.select = self.select.order_by(column, Order::Desc);
        self
    }

    pub fn limit(mut self, rows: u64) -> Self {
        self.select = self.select.limit(rows);
        self
    }

    /// Locks the rows until the unit ends, where the database locks rows.
    pub fn for_update(mut self) -> Self {
        self.select = self.select.lock(LockType::Update);
        self
    }

    /// Anything else that sea-orm can do to a select (columns, grouping). Conditions added here only narrow.
    pub fn with(mut self, change: impl FnOnce(Select<E>) -> Select<E>) -> Self {
        self.select = change(self.select);
        self
    }

    /// On the heap, as all that asks the database: such a future is a hundred times what it is called with, and would be
    /// moved with every future that awaits it.
    ///
    /// # Errors
    /// Whatever the database said.
    pub fn one(self) -> BoxFuture<'a, Result<Option<E::Model>, StoreError>>
    where
        E::Model: Send,
    {
        Box::pin(async move { Ok(self.select.one(self.connection).await?) })
    }

    /// # Errors
    /// Whatever the database said.
    pub fn all(self) -> BoxFuture<'a, Result<Vec<E::Model>, StoreError>>
    where
        E::Model: Send,
    {
        Box::pin(async move { Ok(self.select.all(self.connection).await?) })
    }

    /// The rows as tuples, after [`Self::with`] chose the columns.
    ///
    /// # Errors
    /// Whatever the database said, also when the tuple does not fit the columns.
    pub fn tuples<T: TryGetableMany + Send + Sync + 'a>(self) -> BoxFuture<'a, Result<Vec<T>, StoreError>> {
        Box::pin(async move { Ok(self.select.into_tuple::<T>().all(self.connection).await?) })
    }

    /// The rows as a type that has the chosen columns as fields.
    ///
    /// # Errors
    /// Whatever the database said, also when the type does not fit the columns.
    pub fn models<T: FromQueryResult + Send + Sync + 'a>(self) -> BoxFuture<'a, Result<Vec<T>, StoreError>> {
        Box::pin(async move { Ok(self.select.into_model::<T>().all(self.connection).await?) })
    }

    /// # Errors
    /// Whatever the database said.
    pub async fn count(self) -> Result<u64, StoreError>
    where
        E::Model: Send + Sync,
    {
        Ok(self.select.count(self.connection).await?)
    }
}

/// An update with the tenant in it.
#[derive(Debug)]
#[must_use = "an update does nothing until exec() is awaited"]
pub struct Change<'a, E: EntityTrait> {
    connection: &'a Connection,
    update: UpdateMany<E>,
}

impl<E: EntityTrait> Change<'_, E> {
    pub fn set(mut self, column: E::Column, value: impl Into<Value>) -> Self {
        self.update = self.update.col_expr(column, SimpleExpr::Value(value.into()));
        self
    }

    pub fn set_expression(mut self, column: E::Column, expression: SimpleExpr) -> Self {
        self.update = self.update.col_expr(column, expression);
        self
    }

    pub fn filter(mut self, condition: impl IntoCondition) -> Self {
        self.update = self.update.filter(condition);
        self
    }

    /// Runs it and says how many rows were changed.
    ///
    /// # Errors
    /// Whatever the database said.
    pub async fn exec(self) -> Result<u64, StoreError> {
        Ok(self.update.exec(self.connection).await?.rows_affected)
    }
}

/// A removal with the tenant in it.
#[derive(Debug)]
#[must_use = "a removal does nothing until exec() is awaited"]
pub struct Removal<'a, E: EntityTrait> {
    connection: &'a Connection,
    delete: DeleteMany<E>,
}

impl<E: EntityTrait> Removal<'_, E> {
    pub fn filter(mut self, condition: impl IntoCondition) -> Self {
        self.delete = self.delete.filter(condition);
        self
    }

    /// Runs it and says how many rows are gone.
    ///
    /// # Errors
    /// Whatever the database said.
    pub async fn exec(self) -> Result<u64, StoreError> {
        Ok(self.delete.exec(self.connection).await?.rows_affected)
    }
}
