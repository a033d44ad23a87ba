drop trigger log_member on members;
drop function log_member();
