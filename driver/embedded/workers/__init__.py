"""Worker processes of an embedded Ray, forked from a template instead of started one by one."""
