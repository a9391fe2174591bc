/* SPDX-License-Identifier: Apache-2.0 */
#include <sqlite3.h>
#include <stddef.h>

/* sqlite3_db_config() has a variable list of arguments, which Swift cannot call. */
static inline int fastpath_sqlite_keep_log_on_close(sqlite3 *database)
{
	return sqlite3_db_config(database, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
}
