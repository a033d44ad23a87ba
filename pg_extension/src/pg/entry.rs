//! The functions Postgres calls: C symbols named in the SQL script, and the callbacks registered when the library is loaded.

use pgrx::pg_sys::{self, Datum};

use super::call::Call;
use super::guard::entry;
use super::{cache, held, info, lock, settings};
use crate::error::Result;
use crate::{append, batch, capture};

/// Exports a version-1 function of this name and its info record.
macro_rules! sql_function {
    ($name:ident, $info:ident, $body:path) => {
        /// # Safety
        /// Called by Postgres only.
        #[unsafe(no_mangle)]
        pub unsafe extern "C-unwind" fn $name(fcinfo: pg_sys::FunctionCallInfo) -> Datum {
            // SAFETY: the outermost frame, owning nothing; fcinfo is Postgres' own.
            unsafe { entry(|| $body(Call::new(fcinfo))) }
        }

        #[unsafe(no_mangle)]
        pub extern "C-unwind" fn $info() -> *const pg_sys::Pg_finfo_record {
            static RECORD: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
            &RECORD
        }
    };
}

sql_function!(de_append_event, pg_finfo_de_append_event, append::append_event);
sql_function!(de_append_events, pg_finfo_de_append_events, batch::append_events);
sql_function!(de_append_to_several, pg_finfo_de_append_to_several, batch::append_to_several);
sql_function!(de_append_row, pg_finfo_de_append_row, append::append_row);
sql_function!(de_write_event, pg_finfo_de_write_event, append::write_event);
sql_function!(de_next_own_version, pg_finfo_de_next_own_version, append::next_own_version);
sql_function!(de_next_aggregate_version, pg_finfo_de_next_aggregate_version, append::next_aggregate_version);
sql_function!(de_capture, pg_finfo_de_capture, capture::trigger);
sql_function!(de_invalidate_capture, pg_finfo_de_invalidate_capture, invalidate_capture);
sql_function!(de_guard_drop, pg_finfo_de_guard_drop, super::delegate::guard_drop);

/// domain_events._invalidate_capture(relation regclass): every session forgets its plan of the table and its partitions.
fn invalidate_capture(call: Call) -> Result<Datum> {
    capture::renew()?;
    if let Some(relation) = call.oid(0) {
        cache::invalidate(relation);
    }
    Ok(Datum::from(0))
}

unsafe extern "C-unwind" fn at_transaction_end(event: pg_sys::XactEvent::Type, _: *mut std::ffi::c_void) {
    use pg_sys::XactEvent::*;
    if matches!(event, XACT_EVENT_PRE_COMMIT | XACT_EVENT_PRE_PREPARE) {
        // SAFETY: the outermost frame, owning nothing; an error here still aborts the transaction in the ordinary way.
        unsafe { entry(capture::before_commit) };
    }
    if matches!(event, XACT_EVENT_COMMIT | XACT_EVENT_ABORT | XACT_EVENT_PREPARE) {
        lock::forget_all();
        held::forget();
        settings::forget();
        capture::at_transaction_end();
    }
}

unsafe extern "C-unwind" fn at_subtransaction(
    event: pg_sys::SubXactEvent::Type,
    id: pg_sys::SubTransactionId,
    _: pg_sys::SubTransactionId,
    _: *mut std::ffi::c_void,
) {
    use pg_sys::SubXactEvent::*;
    match event {
        SUBXACT_EVENT_START_SUB => lock::begin_subtransaction(id),
        SUBXACT_EVENT_COMMIT_SUB => lock::end_subtransaction(id, false),
        SUBXACT_EVENT_ABORT_SUB => {
            lock::end_subtransaction(id, true);
            held::roll_back(id);
            capture::roll_back(id);
        }
        _ => {}
    }
}

unsafe extern "C-unwind" fn at_relation_change(_: Datum, relation: pg_sys::Oid) {
    info::Info::forget(relation);
    capture::forget(relation);
}

/// Once per backend, when the library is loaded.
pub fn register() {
    super::guard::keep_backtraces_out();
    settings::define();
    // SAFETY: the callbacks live as long as the process; past the point of no return they raise no errors, and call
    // nothing of Postgres but to free memory.
    unsafe {
        pg_sys::RegisterXactCallback(Some(at_transaction_end), std::ptr::null_mut());
        pg_sys::RegisterSubXactCallback(Some(at_subtransaction), std::ptr::null_mut());
        pg_sys::CacheRegisterRelcacheCallback(Some(at_relation_change), Datum::from(0));
    }
}
