"""What tests of several directories need, and ``bench`` too, which imports no tests.  It stays small."""
