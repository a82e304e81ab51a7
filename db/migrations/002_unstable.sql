-- Why the machine was not steady while a profile was measured; NULL: it was, as far as could be seen.
ALTER TABLE profiles ADD COLUMN unstable TEXT;
